//! Tools of an agent: the trait, and closures that are tools.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::lm::ToolDefinition;
use promptopt_core::program::CallContext;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Something that a model may have done: a search, a calculation, a look into a database.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Its name, what it does, and the JSON schema of its arguments.
    fn definition(&self) -> ToolDefinition;

    /// Does it. What it gives is shown to the model: a text as it is, everything else as JSON.
    ///
    /// Language models that it calls itself are called through the context, so that they count in the budget.
    ///
    /// # Errors
    ///
    /// Whatever went wrong. The model is told of it and may try something else. Two kinds end the run: a failure of a
    /// language model that the tool calls, and something that is [`Unavailable`](promptopt_core::program::Unavailable).
    async fn call(&self, context: &CallContext, arguments: Map<String, Value>) -> anyhow::Result<Value>;
}

#[async_trait]
impl<T: Tool + ?Sized> Tool for Arc<T> {
    fn definition(&self) -> ToolDefinition {
        (**self).definition()
    }

    async fn call(&self, context: &CallContext, arguments: Map<String, Value>) -> anyhow::Result<Value> {
        (**self).call(context, arguments).await
    }
}

/// A closure as a tool. Made by [`tool_fn`].
pub struct ToolFn<A, F> {
    definition: ToolDefinition,
    work: F,
    arguments: PhantomData<fn() -> A>,
}

/// An async closure as a tool. The type of its argument is the schema: a struct with `Deserialize` and `JsonSchema`, whose
/// doc comments the model reads as descriptions.
///
/// ```
/// use promptopt_predict::{Tool as _, tool_fn};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Search {
///     /// What to look for, in a few words.
///     query: String,
/// }
///
/// let search = tool_fn("search", "Searches the handbook.", |search: Search| async move {
///     Ok(format!("nothing on {}", search.query))
/// });
/// let schema = search.definition().parameters;
/// assert_eq!(schema["properties"]["query"]["type"], "string");
/// assert_eq!(schema["required"][0], "query");
/// ```
pub fn tool_fn<A, R, F, Work>(
    name: impl Into<String>,
    description: impl Into<String>,
    work: F,
) -> ToolFn<A, F>
where
    A: DeserializeOwned + JsonSchema,
    R: Serialize,
    F: Fn(A) -> Work + Send + Sync,
    Work: Future<Output = anyhow::Result<R>> + Send,
{
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<A>().to_value();
    if let Value::Object(fields) = &mut schema {
        fields.shift_remove("title");
    }
    ToolFn { definition: ToolDefinition::new(name, description, schema), work, arguments: PhantomData }
}

#[async_trait]
impl<A, R, F, Work> Tool for ToolFn<A, F>
where
    A: DeserializeOwned + JsonSchema,
    R: Serialize,
    F: Fn(A) -> Work + Send + Sync,
    Work: Future<Output = anyhow::Result<R>> + Send,
{
    fn definition(&self) -> ToolDefinition {
        self.definition.clone()
    }

    async fn call(&self, _: &CallContext, arguments: Map<String, Value>) -> anyhow::Result<Value> {
        let arguments = serde_json::from_value(Value::Object(arguments))
            .map_err(|error| anyhow::anyhow!("the arguments do not fit the schema: {error}"))?;
        let result = (self.work)(arguments).await?;
        Ok(serde_json::to_value(result)?)
    }
}
