//! What the compiler says of wrong uses: which field, and what to do.

#[test]
fn wrong_uses_say_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
