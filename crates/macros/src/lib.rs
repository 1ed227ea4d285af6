//! The derive macros of promptopt. They come with `promptopt` and `promptopt-predict`: take them from there.
//!
//! `#[derive(Signature)]` makes a signature of a struct, with Rust types for what goes in and what comes out.
//! `#[derive(Module)]` makes a program of a struct whose fields are predictors.

mod attributes;
mod module;
mod signature;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input, parse_quote};

/// Makes a signature of a struct.
///
/// The comment on the struct is the instruction, and the comment on a field its description. Fields with `#[input]` go in,
/// fields with `#[output]` come out. Of `struct Triage` it makes `TriageInput`, `TriageOutput` and
/// `impl TypedSignature for Triage`, so that `Predict::<Triage>::typed("triage")` takes the one and gives the other.
///
/// Types of fields derive `Debug`, `Clone`, `Serialize`, `Deserialize` and `JsonSchema` (crates `serde` and `schemars`). Numbers, texts,
/// `bool`, `Option`, `Vec` and maps do so by themselves. An enum of plain variants becomes a choice, and the comments on its
/// variants are told to the model. Inputs can also be an `Image`, a `File` or a `History`.
///
/// | attribute | effect |
/// |---|---|
/// | `#[serde(rename = "…")]` on a field, and its other attributes | as serde has them: the name is that of the field in prompts, examples and demos |
/// | `#[signature(derive(…))]` on the struct | further derives of `TriageInput` and `TriageOutput`, which have `Debug`, `Clone`, `Serialize` and `Deserialize` |
/// | `#[signature(crate = "…")]` on the struct | the path to `promptopt-predict`, where it goes by another name |
#[proc_macro_derive(Signature, attributes(input, output, signature, serde))]
pub fn signature(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    signature::expand(&item, parse_quote!(::promptopt::predict)).into()
}

/// Makes a module of a struct: the program whose predictors are its fields with `#[predictor]`.
///
/// The program itself is an async method `forward` of the struct. It takes a context and what goes in, and gives what comes
/// out: the Rust types of signatures, or anything else that serde reads and writes as an object, such as `Fields` and
/// `Prediction`.
///
/// | attribute | effect |
/// |---|---|
/// | `#[predictor]` on a field | optimizers see it: a `Predict`, `ChainOfThought`, `Agent`, `Text`, another module, or a `Vec` or `Option` of these |
/// | `#[model]` on a field | the model that the program runs on, an `Arc<dyn LanguageModel>` |
/// | `#[module(calls = 6)]` | the most calls of one run, where it asks a predictor more than once; a number or a constant, such as `2 * ROUNDS`; default: each predictor once, retries included |
/// | `#[module(name = "…")]` | the name for logs and reports; default: that of the struct, as in `help_desk` |
/// | `#[module(crate = "…")]` | the path to `promptopt-predict`, where it goes by another name |
///
/// The comment on the struct tells whoever writes instructions how the program works.
#[proc_macro_derive(Module, attributes(predictor, model, module))]
pub fn module(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    module::expand(&item, parse_quote!(::promptopt::predict)).into()
}

/// [`macro@Signature`] for whoever depends on `promptopt-predict` alone, which has it under that name.
#[proc_macro_derive(PredictSignature, attributes(input, output, signature, serde))]
pub fn predict_signature(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    signature::expand(&item, parse_quote!(::promptopt_predict)).into()
}

/// [`macro@Module`] for whoever depends on `promptopt-predict` alone, which has it under that name.
#[proc_macro_derive(PredictModule, attributes(predictor, model, module))]
pub fn predict_module(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    module::expand(&item, parse_quote!(::promptopt_predict)).into()
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
