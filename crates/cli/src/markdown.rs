//! The one door to Markdown: texts of others as texts, whatever they hold.

use std::fmt::Write as _;

use promptopt_core::data::printable;

/// A text within a line or a table's cell.
pub(crate) fn inline(text: &str) -> String {
    let line = entities(&printable(text)).replace(['\n', '\r', '\t'], " ");
    line.replace('`', "\\`").replace('|', "\\|").replace("](", "]\\(").replace("![", "!\\[")
}

/// A text of several lines, to be read as it is. Where it holds no markup it stands in a fence that is longer than
/// any within it. HTML, images and links that run scripts would wait there for a reader who knows no fences, so
/// such a text stands in `<pre>`, and shows the same.
pub(crate) fn block(text: &str) -> String {
    let text = printable(text);
    let text = text.trim_end_matches('\n');
    let plain = entities(text);
    // The entity of a colon stands where an address would run a script.
    if !plain.contains("&#58;") && !has_tags(text) && !text.contains("](") && !text.contains("![") {
        let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        return format!("{fence}text\n{text}\n{fence}\n");
    }
    format!("<pre>\n{}\n</pre>\n", plain.replace('[', "&#91;").replace(']', "&#93;").replace('`', "&#96;"))
}

/// Whether anything in a text could be read as HTML.
fn has_tags(text: &str) -> bool {
    let mut behind = text.split('<').skip(1);
    behind.any(|rest| rest.starts_with(|letter: char| letter.is_ascii_alphabetic() || "/!?".contains(letter)))
}

/// A text in which nothing is HTML, and no address runs a script.
fn entities(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '&' => clean.push_str("&amp;"),
            '<' => clean.push_str("&lt;"),
            '>' => clean.push_str("&gt;"),
            ':' if letters.peek().is_some_and(|next| !next.is_whitespace()) && runs(&clean) => {
                let _ = write!(clean, "&#58;");
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Whether a text ends with the scheme of an address that a browser runs instead of fetching it.
fn runs(text: &str) -> bool {
    ["javascript", "vbscript", "data"].iter().any(|scheme| {
        let end = text.len().checked_sub(scheme.len()).and_then(|at| text.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        assert_eq!(block("a"), "```text\na\n```\n");
        assert_eq!(block("```\nb\n````"), "`````text\n```\nb\n````\n`````\n");
        assert_eq!(block("1 < 2 && 3 > 2\n"), "```text\n1 < 2 && 3 > 2\n```\n");
        assert_eq!(inline("a|b\nc"), "a\\|b c");
        assert_eq!(inline("enum[billing, sales]"), "enum[billing, sales]");
    }

    #[test]
    fn nothing_of_others_is_markup() {
        for text in [
            "<script>alert(1)</script>",
            "a</pre><script>alert(1)</script>",
            "x <img src=x onerror=alert(1)> y",
            "![x](https://evil.example/p.png)",
            "[x](javascript:alert(1)) JaVaScript:alert(1)",
            "data:text/html,<b>x éééédata:text/html",
            "</script\n><!-- c --><?php",
            "```\n<script>\n```",
            "\u{1b}]8;;http://x\u{7}link\u{202e}",
            "&lt;script&gt; <b>",
        ] {
            for page in [block(text), inline(text)] {
                let body = page.strip_prefix("<pre>\n").and_then(|rest| rest.strip_suffix("\n</pre>\n"));
                let body = body.unwrap_or(&page);
                assert!(!has_tags(body), "{page}");
                for part in ["](", "![", "javascript:", "JaVaScript:", "data:text", "\u{1b}", "\u{202e}"] {
                    assert!(!body.contains(part), "{part:?} is in {page}");
                }
            }
        }
        // It is read as it was written.
        let page = block("<a> & [b] `c` data:x");
        assert_eq!(page, "<pre>\n&lt;a&gt; &amp; &#91;b&#93; &#96;c&#96; data&#58;x\n</pre>\n");
        assert_eq!(block("the data: rows"), "```text\nthe data: rows\n```\n");
    }
}
