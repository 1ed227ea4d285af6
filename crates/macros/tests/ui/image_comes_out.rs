//! An output that is an image.

use promptopt_predict::Signature;

use promptopt_core::lm::Image;

#[derive(Signature)]
struct Draw {
    #[input]
    wish: String,
    #[output]
    pictures: Option<Vec<Image>>,
}

fn main() {}
