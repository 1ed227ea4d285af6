//! A module of an enum.


use promptopt_predict::Module;

#[derive(Module)]
enum Desk {
    Open,
}

fn main() {}
