//! `#[derive(Module)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Error, Expr, ExprLit, Field, Lit, LitStr, Path, Result};

use crate::attributes::{Problems, arguments, comment, has_marker, named_fields, path_argument, snake_case};

pub(crate) fn expand(item: &DeriveInput, root: Path) -> TokenStream {
    read(item, root).map_or_else(Error::into_compile_error, |derived| derived.generate())
}

/// What there is to generate.
struct Derived<'i> {
    item: &'i DeriveInput,
    root: Path,
    name: String,
    calls: Option<Expr>,
    predictors: Vec<&'i Field>,
    model: Option<&'i Field>,
}

fn read(item: &DeriveInput, root: Path) -> Result<Derived<'_>> {
    let instead = "make a struct whose fields are the predictors, with `#[predictor]` on each";
    let fields = named_fields(item, "Module", instead)?;
    let mut problems = Problems::default();
    let name = snake_case(&item.ident.to_string());
    let mut derived = Derived { item, root, name, calls: None, predictors: Vec::new(), model: None };
    arguments(item, "module", "`calls = 6`, `name = \"…\"` and `crate = \"…\"`", &mut problems, |meta| {
        if meta.path.is_ident("calls") {
            let number: Expr = meta.value()?.parse()?;
            // A constant or a product of some is as good as a number.
            let is_count = match &number {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
                    number.base10_parse::<u64>().is_ok_and(|number| number > 0)
                }
                Expr::Lit(_) => false,
                _ => true,
            };
            if !is_count {
                let message = "`calls` is the most calls of one run: a whole number from 1, as in `calls = 6`, or a constant";
                return Err(Error::new_spanned(number, message));
            }
            derived.calls = Some(number);
        } else if meta.path.is_ident("name") {
            derived.name = meta.value()?.parse::<LitStr>()?.value();
        } else if meta.path.is_ident("crate") {
            derived.root = path_argument(meta)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    });
    for field in fields {
        let path = "the predictor's path stands where it is made, as in `Predict::new(\"route\", …)`";
        if has_marker(field, "predictor", path, &mut problems) {
            derived.predictors.push(field);
        }
        if has_marker(field, "model", "the model is the field itself", &mut problems) {
            if let Some(first) = derived.model.and_then(|first| first.ident.as_ref()) {
                let message = format!(
                    "`{first}` has `#[model]` already: the others are called through `context.on(…)`"
                );
                problems.say(&field.ident, message);
            }
            derived.model = derived.model.or(Some(field));
        }
    }
    if derived.predictors.is_empty() {
        let message = format!(
            "`{}` has no predictor: put `#[predictor]` on the fields that call a model, so that optimizers see them",
            item.ident
        );
        problems.say(&item.ident, message);
    }
    problems.into_result().map(|()| derived)
}

impl Derived<'_> {
    fn generate(&self) -> TokenStream {
        let Self { item, root, name, .. } = self;
        let program = &item.ident;
        let (impl_generics, type_generics, bounds) = item.generics.split_for_impl();
        let each = |method: &str, borrow: TokenStream| -> Vec<TokenStream> {
            let method = format_ident!("{method}");
            let call = |field: &&Field| {
                let (name, kind) = (&field.ident, &field.ty);
                let place = quote_spanned!(kind.span()=> <#kind as #root::derive::HasPredictors>::#method);
                quote!(#place(#borrow self.#name, &mut all);)
            };
            self.predictors.iter().map(call).collect()
        };
        let (shown, changed) = (each("collect", quote!(&)), each("collect_mut", quote!(&mut)));
        let names: Vec<_> = self.predictors.iter().map(|field| &field.ident).collect();
        let calls = match &self.calls {
            Some(calls) => quote!(#calls),
            None => {
                quote!([#(#root::derive::HasPredictors::calls(&self.#names)),*].into_iter().fold(0, u64::saturating_add))
            }
        };
        let model = self.model.map(|field| {
            let name = &field.ident;
            quote! {
                fn language_model(&self) -> Option<std::sync::Arc<dyn #root::derive::LanguageModel>> {
                    Some(std::sync::Arc::clone(&self.#name) as _)
                }
            }
        });
        let says = comment(&item.attrs);
        // A method of the struct goes before one of a trait, so this one speaks up only where there is none.
        let missing = quote! {
            use #root::derive::ForwardIsMissing;
            fn _in_scope(_: &impl ForwardIsMissing) {}
        };
        quote! {
            #[#root::derive::async_trait]
            #[automatically_derived]
            impl #impl_generics #root::derive::Module for #program #type_generics #bounds {
                fn predictors(&self) -> Vec<&dyn #root::derive::Predictor> {
                    let mut all = Vec::new();
                    #(#shown)*
                    all
                }

                fn predictors_mut(&mut self) -> Vec<&mut dyn #root::derive::Predictor> {
                    let mut all = Vec::new();
                    #(#changed)*
                    all
                }

                async fn run(
                    &self,
                    context: &#root::derive::CallContext,
                    inputs: &#root::derive::Fields,
                ) -> #root::derive::anyhow::Result<#root::derive::Prediction> {
                    #missing
                    let output = self.forward(context, #root::derive::input(inputs)?).await?;
                    #root::derive::output(&output)
                }

                fn name(&self) -> &str {
                    #name
                }

                fn source(&self) -> Option<String> {
                    let says: &str = #says;
                    (!says.is_empty()).then(|| says.to_owned())
                }

                fn calls_per_rollout(&self) -> u64 {
                    #calls
                }

                fn calls_vary(&self) -> bool {
                    [#(#root::derive::HasPredictors::calls_vary(&self.#names)),*].contains(&true)
                }

                #model
            }
        }
    }
}
