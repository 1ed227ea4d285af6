//! From the page's data to HTML.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use sha2::{Digest as _, Sha256};

use crate::page::Page;
use crate::{Error, format, text};

const STYLE: &str = include_str!("../templates/style.css");
const SCRIPT: &str = include_str!("../templates/script.js");

/// The templates by name.
const TEMPLATES: [(&str, &str); 14] = [
    ("page.html", include_str!("../templates/page.html")),
    ("macros.html", include_str!("../templates/macros.html")),
    ("headline.html", include_str!("../templates/headline.html")),
    ("splits.html", include_str!("../templates/splits.html")),
    ("prompts.html", include_str!("../templates/prompts.html")),
    ("rules.html", include_str!("../templates/rules.html")),
    ("examples.html", include_str!("../templates/examples.html")),
    ("headroom.html", include_str!("../templates/headroom.html")),
    ("trials.html", include_str!("../templates/trials.html")),
    ("choices.html", include_str!("../templates/choices.html")),
    ("lineage.html", include_str!("../templates/lineage.html")),
    ("depths.html", include_str!("../templates/depths.html")),
    ("candidates.html", include_str!("../templates/candidates.html")),
    ("run.html", include_str!("../templates/run.html")),
];

/// The whole page.
pub(crate) fn html(page: &Page<'_>) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Whatever a template is called: everything is HTML, and everything is escaped.
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("score", format::or_none(format::score));
    environment.add_filter("number", format::or_none(format::count));
    environment.add_filter("seconds", format::or_none(format::seconds));
    environment.add_filter("money", format::or_none(format::money));
    environment.add_filter("difference", format::or_none(format::difference));
    environment.add_filter("p_value", format::or_none(format::p_value));
    environment.add_filter("level", format::or_none(format::level));
    environment.add_filter("counted", format::counted);
    environment.add_filter("px", format::px);
    environment.add_filter("name", |text: &str| text::name(text));
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    // Only these two are not escaped, and nothing of a report is in them.
    let values = context! {
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPT.to_owned()),
        policy => policy(page.shows_images),
        page => Value::from(Serde(page)),
    };
    let html = environment.get_template("page.html")?.render(values)?;
    Ok(text::with_visible_controls(&html))
}

/// The Content-Security-Policy: nothing from anywhere, but this very style and this very script, and images only where
/// they are part of the page.
fn policy(shows_images: bool) -> String {
    let images = if shows_images { "data:" } else { "'none'" };
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src {images}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn hash(source: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(source.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_cannot_end_early() {
        for source in [STYLE, SCRIPT] {
            assert!(!source.contains("</"), "would close its element");
            assert!(!source.contains("<!--"));
            assert!(!source.contains('\r'), "a browser would read another text than was hashed");
        }
    }

    #[test]
    fn hashes_are_those_of_the_standard() {
        // The example of the CSP specification, level 2, section 4.2.5.
        assert_eq!(hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }
}
