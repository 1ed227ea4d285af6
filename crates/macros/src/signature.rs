//! `#[derive(Signature)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, DeriveInput, Error, Field, GenericArgument, LitStr, Path, PathArguments, Result, Type};

use crate::attributes::{Problems, arguments, comment, has_marker, name_of, named_fields, path_argument};

const DESCRIBE: &str = "describe the field with a comment (`///`) above it";
/// Types that only inputs can have.
const ONLY_INPUTS: [&str; 3] = ["Image", "File", "History"];

pub(crate) fn expand(item: &DeriveInput, root: Path) -> TokenStream {
    match read(item, root) {
        Ok((derived, error)) => {
            let (code, error) = (derived.generate(), error.map(Error::into_compile_error));
            quote!(#error #code)
        }
        Err(error) => error.into_compile_error(),
    }
}

/// What there is to generate.
struct Derived<'i> {
    item: &'i DeriveInput,
    root: Path,
    derives: Vec<Path>,
    inputs: Vec<(&'i Field, String)>,
    outputs: Vec<(&'i Field, String)>,
    /// How many fields have no side. They are taken for outputs, where they can be any.
    without_side: usize,
}

/// What there is to generate. Where all that is wrong is that fields have no side, it comes with the error, so that the
/// compiler does not complain of each use of the signature besides.
fn read(item: &DeriveInput, root: Path) -> Result<(Derived<'_>, Option<Error>)> {
    let instead = "for a choice, derive `JsonSchema` on an enum and make it the type of a field";
    let fields = named_fields(item, "Signature", instead)?;
    let mut problems = Problems::default();
    let mut derived =
        Derived { item, root, derives: Vec::new(), inputs: Vec::new(), outputs: Vec::new(), without_side: 0 };
    if !item.generics.params.is_empty() {
        let message = format!("`{}` cannot be generic: a signature has one type for each field", item.ident);
        problems.say(&item.generics, message);
    }
    arguments(item, "signature", "`derive(…)` and `crate = \"…\"`", &mut problems, |meta| {
        if meta.path.is_ident("derive") {
            meta.parse_nested_meta(|one| {
                derived.derives.push(one.path.clone());
                Ok(())
            })?;
        } else if meta.path.is_ident("crate") {
            derived.root = path_argument(meta)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    });
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        problems.say(
            attribute,
            "serde's attributes are not read on the struct of a signature: write `#[serde(rename = \"…\")]` on single fields",
        );
    }
    for field in fields {
        let (is_input, is_output) = (
            has_marker(field, "input", DESCRIBE, &mut problems),
            has_marker(field, "output", DESCRIBE, &mut problems),
        );
        let name = wire_name(field, &mut problems);
        match (is_input, is_output) {
            (true, false) => derived.inputs.push((field, name)),
            (false, true) => derived.outputs.push((field, name)),
            (true, true) => problems
                .say(&field.ident, format!("`{name}` is both input and output: remove one of the two")),
            (false, false) => {
                problems.say(
                    &field.ident,
                    format!("`{name}` is neither input nor output: put `#[input]` or `#[output]` on it"),
                );
                derived.without_side += 1;
                let goes_in = ONLY_INPUTS.iter().any(|kind| holds(&field.ty, kind));
                let side = if goes_in { &mut derived.inputs } else { &mut derived.outputs };
                side.push((field, name));
            }
        }
    }
    check(&derived, &mut problems);
    match problems.into_result() {
        Err(error) if error.clone().into_iter().count() > derived.without_side => Err(error),
        result => Ok((derived, result.err())),
    }
}

fn check(derived: &Derived<'_>, problems: &mut Problems) {
    let Derived { item, inputs, outputs, .. } = derived;
    let sides = [(inputs, "input", "what goes in"), (outputs, "output", "what comes out")];
    // Where a field has no side yet, the message for it says what to do.
    let is_whole = derived.without_side == 0 && item_len(item) == inputs.len() + outputs.len();
    for (_, side, what) in sides.iter().filter(|(fields, ..)| fields.is_empty() && is_whole) {
        problems.say(&item.ident, format!("`{}` has no {side}: put `#[{side}]` on {what}", item.ident));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (field, name) in inputs.iter().chain(outputs) {
        let mut letters = name.chars();
        let starts_well = letters.next().is_some_and(|letter| letter.is_alphabetic() || letter == '_');
        if !starts_well || !letters.all(|letter| letter.is_alphanumeric() || letter == '_') {
            problems.say(&field.ident, format!("`{name}` is not a field name: use letters, digits and `_`"));
        }
        if name == "completed" {
            problems.say(
                &field.ident,
                "the field name `completed` is reserved for the end of a reply: use another name",
            );
        }
        if seen.contains(&name.as_str()) {
            problems.say(&field.ident, format!("two fields have the name `{name}`: rename one"));
        }
        seen.push(name);
        if let Type::Reference(_) = field.ty {
            problems.say(
                &field.ty,
                format!("`{name}` borrows, and a signature owns its fields: use `String` for `&str`, `Vec<T>` for `&[T]`"),
            );
        }
    }
    for (field, name) in outputs {
        if let Some(kind) = ONLY_INPUTS.iter().find(|kind| holds(&field.ty, kind)) {
            problems.say(
                &field.ty,
                format!("the output `{name}` cannot be of type `{kind}`, which only inputs can have: ask for a text or an object"),
            );
        }
    }
    let mut histories = inputs.iter().filter(|(field, _)| holds(&field.ty, "History"));
    if let Some((field, name)) = histories.clone().find(|(field, _)| !is_named(&field.ty, "History")) {
        problems.say(
            &field.ty,
            format!("`{name}` holds a history: a history is an input by itself, of type `History`, and may always be empty"),
        );
    } else if let (Some((_, first)), Some((field, second))) = (histories.next(), histories.next()) {
        problems
            .say(field, format!("`{first}` and `{second}` are both a history, and one is read: keep one"));
    }
}

fn item_len(item: &DeriveInput) -> usize {
    if let syn::Data::Struct(data) = &item.data { data.fields.len() } else { 0 }
}

/// The name of a field in prompts and examples: as serde writes it.
fn wire_name(field: &Field, problems: &mut Problems) -> String {
    let mut name = name_of(field);
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let result = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") && meta.input.peek(syn::Token![=]) {
                name = meta.value()?.parse::<LitStr>()?.value();
                return Ok(());
            }
            let refused = [
                "rename",
                "flatten",
                "skip",
                "skip_serializing",
                "skip_deserializing",
                "skip_serializing_if",
            ];
            if let Some(refused) = refused.iter().find(|refused| meta.path.is_ident(refused)) {
                let instead = "every field of a signature has one name and is always written";
                return Err(meta.error(format!("`#[serde({refused})]` cannot stand on `{name}`: {instead}")));
            }
            // Others are serde's.
            if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                let inner;
                syn::parenthesized!(inner in meta.input);
                inner.parse::<TokenStream>()?;
            }
            Ok(())
        });
        if let Err(error) = result {
            problems.add(error);
        }
    }
    name
}

/// Whether a type is the last part of a path, such as `lm::Image`.
fn is_named(kind: &Type, name: &str) -> bool {
    matches!(kind, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// Whether a type is of this name, or has one of it in its arguments.
fn holds(kind: &Type, name: &str) -> bool {
    let Type::Path(path) = kind else { return false };
    let inside =
        |argument: &GenericArgument| matches!(argument, GenericArgument::Type(kind) if holds(kind, name));
    is_named(kind, name)
        || path.path.segments.iter().any(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().any(inside),
            _ => false,
        })
}

impl Derived<'_> {
    fn generate(&self) -> TokenStream {
        let Self { item, root, inputs, outputs, .. } = self;
        let name = &item.ident;
        let (input, output) = (format_ident!("{name}Input"), format_ident!("{name}Output"));
        let input_struct = self.side(&input, inputs, &format!("What goes into [`{name}`]."));
        let output_struct = self.side(&output, outputs, &format!("What comes out of [`{name}`]."));
        let names = |fields: &[(&Field, String)]| {
            fields.iter().map(|(field, _)| field.ident.clone()).collect::<Vec<_>>()
        };
        let (input_names, output_names) = (names(inputs), names(outputs));
        let (input_fields, output_fields) = (self.fields(inputs), self.fields(outputs));
        let instruction = comment(&item.attrs);
        quote! {
            #input_struct
            #output_struct

            #[automatically_derived]
            impl #root::derive::TypedSignature for #name {
                type Input = #input;
                type Output = #output;

                fn signature() -> #root::derive::Signature {
                    #root::derive::Signature::derived([#(#input_fields),*], [#(#output_fields),*], #instruction)
                }

                fn into_parts(self) -> (#input, #output) {
                    let Self { #(#input_names,)* #(#output_names,)* } = self;
                    (#input { #(#input_names),* }, #output { #(#output_names),* })
                }

                fn from_parts(input: #input, output: #output) -> Self {
                    let #input { #(#input_names),* } = input;
                    let #output { #(#output_names),* } = output;
                    Self { #(#input_names,)* #(#output_names,)* }
                }
            }
        }
    }

    /// The struct of one side.
    fn side(&self, name: &syn::Ident, fields: &[(&Field, String)], says: &str) -> TokenStream {
        let Self { item, root, derives, .. } = self;
        let visibility = &item.vis;
        let is_kept = |attribute: &&Attribute| {
            ["doc", "serde", "cfg", "allow", "expect"].iter().any(|name| attribute.path().is_ident(name))
        };
        let fields = fields.iter().map(|(field, _)| {
            let Field { vis, ident, ty, attrs, .. } = field;
            let attributes = attrs.iter().filter(is_kept);
            quote!(#(#attributes)* #vis #ident: #ty)
        });
        let serde = quote!(#root::derive::serde).to_string().replace(' ', "");
        quote! {
            #[doc = #says]
            #[derive(Debug, Clone, #root::derive::serde::Serialize, #root::derive::serde::Deserialize, #(#derives),*)]
            #[serde(crate = #serde)]
            #visibility struct #name { #(#fields),* }
        }
    }

    /// The fields of the signature.
    fn fields(&self, fields: &[(&Field, String)]) -> Vec<TokenStream> {
        let root = &self.root;
        let field = |(field, name): &(&Field, String)| {
            let (kind, description) = (&field.ty, comment(&field.attrs));
            quote_spanned!(kind.span()=> <#kind as #root::derive::FieldValue>::field(#name, #description))
        };
        fields.iter().map(field).collect()
    }
}
