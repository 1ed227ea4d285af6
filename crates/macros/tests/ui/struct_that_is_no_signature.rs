//! A struct that is no signature.

use promptopt_predict::Signature;

use promptopt_predict::Predict;

struct Triage {
    ticket: String,
}

#[derive(Signature)]
struct Route {
    #[input]
    ticket: String,
    #[output]
    department: String,
}

fn predictors() {
    let _ = Predict::<Triage>::typed("triage");
    let _ = Predict::<RouteInput>::typed("route");
}

fn main() {}
