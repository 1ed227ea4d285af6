//! Who serves a model: what traces say of it.

/// Who serves a model. Traces say it with every call (feature `tracing`); nothing else depends on it. No login and no key
/// is part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelServer {
    /// The provider as OpenTelemetry names it, such as `openai`, `anthropic` or `gcp.gemini`.
    pub provider: Option<String>,
    /// The model's name as it is sent.
    pub model: Option<String>,
    /// The server's name or address.
    pub address: Option<String>,
    /// The server's port.
    pub port: Option<u16>,
}

impl ModelServer {
    /// A model under the name that is sent, of which nothing else is known.
    pub fn new(model: impl Into<String>) -> Self {
        Self { model: Some(model.into()), ..Self::default() }
    }

    /// With the provider, such as `openai`.
    #[must_use]
    pub fn with_provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// With the server's name or address, and its port.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<String>, port: impl Into<Option<u16>>) -> Self {
        (self.address, self.port) = (Some(address.into()), port.into());
        self
    }
}
