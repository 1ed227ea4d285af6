//! Attributes and names that both macros read.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Lit, Meta, Path, Result};

/// What went wrong so far. The compiler is told of all of it at once.
#[derive(Default)]
pub(crate) struct Problems(Option<Error>);

impl Problems {
    pub(crate) fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn say(&mut self, place: &impl ToTokens, message: impl std::fmt::Display) {
        self.add(Error::new_spanned(place, message));
    }

    pub(crate) fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The fields of a struct that has names for them.
pub(crate) fn named_fields<'i>(item: &'i DeriveInput, derive: &str, instead: &str) -> Result<Vec<&'i Field>> {
    let wrong = |what: &str, instead: &str| {
        let message = format!(
            "`#[derive({derive})]` needs a struct with named fields, and `{}` is {what}: {instead}",
            item.ident
        );
        Err(Error::new_spanned(&item.ident, message))
    };
    match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields.named.iter().collect()),
            Fields::Unnamed(_) => wrong("a tuple struct", "give its fields names"),
            Fields::Unit => wrong("a struct without fields", "give it some"),
        },
        Data::Enum(_) => wrong("an enum", instead),
        Data::Union(_) => wrong("a union", "make it a struct"),
    }
}

/// Whether an attribute of this name stands on a field. It takes no arguments, and stands there once.
pub(crate) fn has_marker(field: &Field, name: &str, instead: &str, problems: &mut Problems) -> bool {
    let mut marks = field.attrs.iter().filter(|attribute| attribute.path().is_ident(name));
    let Some(mark) = marks.next() else { return false };
    if !matches!(mark.meta, Meta::Path(_)) {
        problems.say(mark, format!("`#[{name}]` takes no arguments: {instead}"));
    }
    if let Some(again) = marks.next() {
        problems.say(again, format!("`#[{name}]` stands twice on `{}`: remove one", name_of(field)));
    }
    true
}

/// The name of a field as it is written in JSON.
pub(crate) fn name_of(field: &Field) -> String {
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    name.strip_prefix("r#").map_or(name.clone(), str::to_owned)
}

/// The comments and other `#[doc]` attributes, as expressions.
fn comments(attributes: &[Attribute]) -> Vec<&Expr> {
    let docs = attributes.iter().filter(|attribute| attribute.path().is_ident("doc"));
    let mut texts = Vec::new();
    for attribute in docs {
        if let Meta::NameValue(pair) = &attribute.meta {
            texts.push(&pair.value);
        }
    }
    texts
}

/// The comments as an expression of one text, line by line.
pub(crate) fn comment(attributes: &[Attribute]) -> TokenStream {
    let lines = comments(attributes);
    let literal = |expression: &&Expr| match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            let text = text.value();
            Some(text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned())
        }
        _ => None,
    };
    match lines.iter().map(literal).collect::<Option<Vec<String>>>() {
        Some(lines) => {
            let text = lines.join("\n").trim().to_owned();
            quote!(#text)
        }
        // Such as `#[doc = include_str!("prompt.md")]`.
        None => quote!(&[#(#lines),*].join("\n")),
    }
}

/// Reads the arguments of `#[name(…)]` on a struct; `read` takes one and says whether it knows it.
pub(crate) fn arguments(
    item: &DeriveInput,
    name: &str,
    known: &str,
    problems: &mut Problems,
    mut read: impl FnMut(&syn::meta::ParseNestedMeta<'_>) -> Result<bool>,
) {
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident(name)) {
        let result = attribute.parse_nested_meta(|meta| {
            if read(&meta)? {
                return Ok(());
            }
            let found = meta.path.to_token_stream().to_string();
            Err(meta.error(format!("`#[{name}({found})]` is not known: there are {known}")))
        });
        if let Err(error) = result {
            problems.add(error);
        }
    }
}

/// A path that an argument gives as a text.
pub(crate) fn path_argument(meta: &syn::meta::ParseNestedMeta<'_>) -> Result<Path> {
    meta.value()?.parse::<syn::LitStr>()?.parse()
}

/// A name such as `HelpDesk` as `help_desk`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut before: Option<char> = None;
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let begins_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                !before.is_uppercase() || letters.peek().is_some_and(|next| next.is_lowercase())
            });
        if begins_word && before != Some('_') {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
        before = Some(letter);
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_snake_case() {
        for (name, expected) in [
            ("Desk", "desk"),
            ("HelpDesk", "help_desk"),
            ("HTTPDesk", "http_desk"),
            ("Desk2", "desk2"),
            ("A_B", "a_b"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }
}
