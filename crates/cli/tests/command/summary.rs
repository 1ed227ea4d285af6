//! What stands on the screen at the end of a run.

use super::promptopt;

#[test]
fn the_final_summary() {
    let folder = tempfile::tempdir().unwrap();
    promptopt(folder.path(), &["init"]);
    let output =
        promptopt(folder.path(), &["optimize", "task.toml", "--lm", "sim", "--no-run", "--max-calls", "300"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // How long it took is another number every time.
    let took = text.lines().find(|line| line.starts_with("optimized in ")).unwrap();
    let text = text.replace(took, "optimized in … s; written to route.optimized.json");
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("final_summary", text);
    });
}
