//! Whatever the texts of a report are, the page has our elements and no others.

use promptopt_report::Report;
use proptest::prelude::*;
use scraper::{Html, Selector};

use crate::hostile;

/// Elements that the templates use; everything else would be the work of a text.
const ELEMENTS: [&str; 61] = [
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "script",
    "a",
    "svg",
    "defs",
    "path",
    "circle",
    "line",
    "text",
    "use",
    "g",
    "header",
    "main",
    "footer",
    "section",
    "article",
    "nav",
    "div",
    "p",
    "span",
    "b",
    "bdi",
    "small",
    "br",
    "h1",
    "h2",
    "h3",
    "h4",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "figure",
    "figcaption",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "button",
    "label",
    "input",
    "output",
    "details",
    "summary",
    "pre",
    "code",
    "del",
    "ins",
    "i",
    "em",
    "strong",
];

/// Parses the page as a browser would, and checks everything that a text could have brought in.
pub(crate) fn check(page: &str) -> Html {
    let html = Html::parse_document(page);
    let (mut scripts, mut styles, mut policies) = (0, 0, 0);
    let mut ids = std::collections::BTreeSet::new();
    for element in html.tree.values().filter_map(|node| node.as_element()) {
        let name = element.name();
        assert!(ELEMENTS.contains(&name), "a foreign element: {name}");
        scripts += usize::from(name == "script");
        styles += usize::from(name == "style");
        policies += usize::from(element.attr("http-equiv").is_some());
        for (attribute, value) in element.attrs() {
            assert!(!attribute.starts_with("on"), "an event handler: {attribute}={value}");
            assert!(
                !["style", "src", "srcset", "action", "formaction", "srcdoc", "data", "ping"]
                    .contains(&attribute)
            );
            if attribute.ends_with("href") {
                assert!(value.starts_with('#'), "a link out of the page: {value}");
            }
            if attribute == "id" {
                assert!(ids.insert(value.to_owned()), "an id twice: {value}");
            }
        }
    }
    assert_eq!((scripts, styles, policies), (1, 1, 1));
    for link in html.select(&Selector::parse("[href]").unwrap()) {
        let target = link.attr("href").unwrap_or_default().trim_start_matches('#');
        assert!(ids.contains(target), "a link to nothing: {target}");
    }
    for (name, source) in [
        ("script", include_str!("../../templates/script.js")),
        ("style", include_str!("../../templates/style.css")),
    ] {
        assert!(text(&html, name) == source, "the {name} is not the one that was hashed");
    }
    let control = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    assert_eq!(page.chars().find(control), None);
    html
}

/// The text of the first element that fits.
fn text(html: &Html, selector: &str) -> String {
    html.select(&Selector::parse(selector).unwrap()).next().map(|e| e.text().collect()).unwrap_or_default()
}

#[test]
fn a_corpus_of_markup_stays_text() {
    let corpus = hostile::corpus("http://localhost");
    let page = hostile::of(&corpus).to_html().unwrap();
    check(&page);
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    // Each alone as well, so that all of them stand in every place.
    for one in &corpus {
        check(&hostile::of(std::slice::from_ref(one)).to_html().unwrap());
    }
}

#[test]
fn a_report_of_nothing_is_a_page() {
    let html = check(&Report::default().to_html().unwrap());
    assert!(html.select(&Selector::parse("section").unwrap()).count() <= 2, "empty boxes");
    assert!(text(&html, ".verdict").contains("before anything was measured"));
}

#[test]
fn a_value_of_a_megabyte_is_cut_and_says_so() {
    let mut page = Report::default();
    page.configuration = serde_json::Value::String("<x>".repeat(400_000));
    let html = check(&page.to_html().unwrap());
    assert_eq!(text(&html, "#run p.cut"), "20,000 of 1,200,000 characters shown");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_text_becomes_markup(texts in proptest::collection::vec(any_text(), 1..6)) {
        let report = hostile::of(&texts);
        let page = report.to_html().unwrap();
        prop_assert_eq!(&page, &report.to_html().unwrap(), "another page from the same report");
        check(&page);
    }

    #[test]
    fn a_text_is_read_back_as_it_was(title in "[^\\p{Cc}\u{fffe}\u{ffff}]{1,100}") {
        let mut report = Report::default();
        report.title = title.clone();
        let html = check(&report.to_html().unwrap());
        prop_assert_eq!(text(&html, "h1"), title);
    }
}

/// Any characters, and pieces of markup between them.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[<>\"'&;=/ a-z#!-]{0,20}",
        prop::sample::select(
            hostile::corpus("http://localhost")
                .into_iter()
                .filter(|text| text.len() < 500)
                .collect::<Vec<_>>()
        ),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}
