//! Predictor paths as DSPy writes them: `a.b`, `xs[0]`, `d['k']`.

/// Whether a program in Python can have a predictor at this path, and if not, why.
pub(crate) fn check_path(path: &str) -> Result<(), &'static str> {
    if path == "metadata" {
        return Err("the file keeps versions under that name");
    }
    let mut rest = after_name(path)?;
    while !rest.is_empty() {
        rest = if let Some(tail) = rest.strip_prefix('.') {
            after_name(tail)?
        } else if let Some(tail) = rest.strip_prefix("['") {
            let (_, tail) = tail.split_once("']").ok_or("a key lacks its closing `']`")?;
            tail
        } else if let Some(tail) = rest.strip_prefix('[') {
            let (digits, tail) = tail.split_once(']').ok_or("an index lacks its closing `]`")?;
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("an index must be a number, and a key stands in single quotes");
            }
            tail
        } else {
            return Err("attributes of Python objects have names of letters, digits and `_`");
        };
    }
    Ok(())
}

fn after_name(text: &str) -> Result<&str, &'static str> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let rest = text.trim_start_matches(is_part);
    if rest.len() == text.len() || text.starts_with(char::is_numeric) {
        return Err("attributes of Python objects have names of letters, digits and `_`");
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_python_programs_are_known() {
        for path in ["a", "a.b", "xs[0]", "d['k']", "d['a.b c'].predict", "a.b[12].predict", "_x1", "é"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in ["", "a.", "a-b", "a b", "1a", "a[", "a[x]", "a[]", "a['k]", "a.[0]", "metadata", "a[0]b"]
        {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}
