//! The report in a real browser: nothing of a hostile report runs or asks for anything, our own script
//! works under the policy, and the page fits.
//!
//! Takes Chromium, by `PROMPTOPT_CHROMIUM` or one of its usual names. Without it the tests say that they
//! are skipped, unless `PROMPTOPT_REQUIRE_BROWSER` is set.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hostile;
use crate::server::Server;

/// A page that looks at `/report.html` in a frame and writes down what it finds.
const HARNESS: &str = include_str!("harness.html");

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

fn chromium() -> Option<PathBuf> {
    let given = std::env::var_os("PROMPTOPT_CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || {
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        NAMES
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
            .find(|file| file.is_file())
    };
    let browser = given.or_else(found);
    if browser.is_none() {
        assert!(std::env::var_os("PROMPTOPT_REQUIRE_BROWSER").is_none(), "no Chromium was found");
        eprintln!("skipped: no Chromium was found; PROMPTOPT_CHROMIUM names one");
    }
    browser
}

/// The document at a URL after its scripts have run, as HTML.
fn document(browser: &PathBuf, url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let out = profile.path().join("document.html");
    let mut child = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-extensions"])
        .args(["--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
        .arg(url)
        .stdout(std::fs::File::create(&out).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(120) {
            let _ = child.kill();
            panic!("the browser did not end; a dialog may have held it up");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::read_to_string(out).unwrap()
}

/// What the harness found out about `/report.html`.
fn findings(browser: &PathBuf, server: &Server) -> Value {
    server.put("/harness.html", HARNESS.to_owned());
    let document = document(browser, &format!("{}/harness.html", server.url));
    let (_, rest) = document.split_once("<pre id=\"found\">").expect("the harness has a place for findings");
    let (json, _) = rest.split_once("</pre>").unwrap();
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn number(findings: &Value, path: &str) -> f64 {
    findings.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {findings}"))
}

#[test]
fn nothing_of_a_hostile_report_runs_or_asks_for_anything() {
    let Some(browser) = chromium() else { return };
    let server = Server::start().unwrap();
    server.put("/report.html", hostile::report(&server.url).to_html().unwrap());
    let found = findings(&browser, &server);

    assert_eq!(found["ran"], false, "{found}");
    assert_eq!(
        found["title"].as_str().unwrap().matches("hostileRan").count(),
        1,
        "the title is text: {found}"
    );
    assert_eq!(number(&found, "/resources"), 0.0, "{found}");
    assert_eq!(number(&found, "/foreign"), 0.0, "elements of the corpus: {found}");
    let asked = server.asked();
    let ours = ["/harness.html", "/report.html", "/favicon.ico"];
    assert!(asked.iter().all(|path| ours.contains(&path.as_str())), "{asked:?}");

    for width in ["390", "1280"] {
        let (inside, window) = (
            number(&found, &format!("/widths/{width}/scroll")),
            number(&found, &format!("/widths/{width}/client")),
        );
        assert!(inside <= window, "scrolls sideways at {width} px: {inside} > {window}: {found}");
    }
}

/// The same corpus without escaping and without a policy: the harness must notice.
#[test]
fn the_harness_notices_what_runs_and_asks() {
    let Some(browser) = chromium() else { return };
    let server = Server::start().unwrap();
    let corpus: Vec<String> = hostile::corpus(&server.url)
        .into_iter()
        .filter(|text| text.len() < 1_000 && !text.contains("refresh"))
        .collect();
    let page = format!("<!DOCTYPE html><title>x</title><body><div>{}</div>", corpus.join("</div><div>"));
    server.put("/report.html", page.replace("alert(1)", "0"));
    let found = findings(&browser, &server);
    assert_eq!(found["ran"], true, "{found}");
    assert!(server.asked().iter().any(|path| path.contains("hostile")), "{:?}", server.asked());
}

#[test]
fn filters_search_theme_and_print_work_under_the_policy() {
    let Some(browser) = chromium() else { return };
    let server = Server::start().unwrap();
    let report = crate::sections::small();
    let rows = report.test.as_ref().unwrap().examples.len() as f64;
    server.put("/report.html", report.to_html().unwrap());
    let found = findings(&browser, &server);

    assert_eq!(number(&found, "/rows/all"), rows);
    assert_eq!(number(&found, "/rows/fixed"), 1.0);
    assert_eq!(number(&found, "/rows/searched"), 1.0, "by its input: {found}");
    assert_eq!(found["pressed"], "fixed");
    assert_ne!(found["theme"]["before"], found["theme"]["after"], "{found}");
    assert_eq!(found["told"], true, "a node in focus is described: {found}");
    assert_eq!(found["print"], true, "everything is open on paper: {found}");
    assert_eq!(found["skip"], true, "the first stop of the Tab key is the skip link: {found}");
    // Without scripts there are no controls that would do nothing, and every row is there.
    assert_eq!(number(&found, "/plain/rows"), rows);
    assert_eq!(number(&found, "/plain/controls"), 0.0, "{found}");
    assert_eq!(number(&found, "/resources"), 0.0);
}
