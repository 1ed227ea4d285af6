//! The derive macros of [promptopt](https://docs.rs/promptopt), which makes the prompts of programs that call language
//! models better by measurement.
//!
//! They come with the crates `promptopt` and `promptopt-predict`, which also have what the macros write. Depend on one
//! of these, and not on this crate.
//!
//! - [`derive(Signature)`](macro@Signature) makes a signature of a struct: what a model gets and what it gives, as Rust
//!   types.
//! - [`derive(Module)`](macro@Module) makes a program of a struct whose fields are predictors, so that nobody lists them
//!   twice.
//!
//! There are no cargo features.

mod attributes;
mod module;
mod signature;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input, parse_quote};

/// Makes a signature of a struct: what a language model gets and what it gives, as Rust types.
///
/// ```
/// use promptopt_core::program::CallContext;
/// use promptopt_predict::{Error, Predict, Signature}; // or `promptopt::prelude::*`
///
/// /// Route the support ticket to the department that should answer it.
/// #[derive(Signature)]
/// struct Triage {
///     /// The ticket as the customer wrote it.
///     #[input]
///     ticket: String,
///     /// Whether it can wait until tomorrow.
///     #[output]
///     can_wait: bool,
/// }
///
/// async fn can_wait(context: &CallContext, ticket: String) -> Result<bool, Error> {
///     let triage = Predict::<Triage>::typed("triage");
///     Ok(triage.call(context, TriageInput { ticket }).await?.can_wait)
/// }
/// ```
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
/// ```
/// use promptopt_core::data::{Fields, Prediction};
/// use promptopt_core::program::CallContext;
/// use promptopt_predict::{Module, Predict, Signature}; // or `promptopt::prelude::*`
///
/// /// Names the topic of a question first, then answers.
/// #[derive(Module)]
/// struct HelpDesk {
///     #[predictor]
///     topic: Predict,
///     #[predictor]
///     answer: Predict,
/// }
///
/// impl HelpDesk {
///     fn new() -> Result<Self, promptopt_core::Error> {
///         Ok(Self {
///             topic: Predict::new("topic", Signature::parse("question -> topic")?),
///             answer: Predict::new("answer", Signature::parse("question, topic -> answer")?),
///         })
///     }
///
///     async fn forward(&self, context: &CallContext, mut inputs: Fields) -> anyhow::Result<Prediction> {
///         let topic = self.topic.call(context, &inputs).await?;
///         inputs.extend(topic.fields().clone());
///         Ok(self.answer.call(context, &inputs).await?)
///     }
/// }
/// # HelpDesk::new()?;
/// # Ok::<(), promptopt_core::Error>(())
/// ```
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
