//! Program states of DSPy.

use std::sync::LazyLock;

use promptopt_core::signature::Signature;
use promptopt_dspy::{DspyProgram, Layout, Versions};

/// Programs that a file may belong to.
static LAYOUTS: LazyLock<Vec<Layout>> = LazyLock::new(|| {
    let layout = |predictors: &[(&str, &str)]| {
        let signature = |text: &str| Signature::parse(text).ok();
        Layout::new(predictors.iter().filter_map(|(path, text)| Some((*path, signature(text)?))))
    };
    vec![
        layout(&[("qa", "question -> answer")]),
        layout(&[("qa", "question -> reasoning, answer: int")]),
        layout(&[
            ("plan", "question -> reasoning, steps: list[str]"),
            ("answer", "question, steps: list[str] -> answer"),
        ]),
    ]
});

/// What is read is written and read again as the same, with the same prompts, which another file takes as
/// they are.
pub fn dspy_program(bytes: &[u8]) {
    let Ok(program) = DspyProgram::read(&String::from_utf8_lossy(bytes)) else { return };
    let written = program.to_json();
    let mut again = DspyProgram::read(&written).expect("what was written can be read");
    assert_eq!(again, program);
    assert_eq!(again.to_json(), written);
    let _ = program.versions();
    for layout in LAYOUTS.iter() {
        let Ok(prompts) = program.prompts(layout) else { continue };
        again.update(&prompts, layout).expect("a file takes its own prompts");
        assert_eq!(again.to_json(), written);
        let new = DspyProgram::from_prompts(&prompts, layout, &Versions::default()).expect("a new file");
        assert_eq!(new.prompts(layout).expect("prompts of a new file"), prompts);
    }
}
