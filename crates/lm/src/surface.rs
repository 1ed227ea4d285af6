//! What the public clients and their builders show alike, written once.

/// Makes a language model of a public client around a [`Client`](crate::client::Client).
macro_rules! client_surface {
    ($client:ident) => {
        impl $client {
            /// The model's name, as it is sent.
            pub fn model(&self) -> &str {
                self.0.model()
            }

            /// The address that requests go to, without user name, password and query.
            pub fn url(&self) -> &str {
                self.0.url()
            }

            /// The limits that this client keeps. Give them to other clients of the same provider.
            pub fn rate_control(&self) -> &RateControl {
                &self.0.rate
            }

            /// The most attempts that one call may be billed for, the one that answers included.
            pub fn max_attempts_billed(&self) -> u32 {
                self.0.profile.max_attempts_billed
            }

            /// `text` with every secret of this client masked: the key, secret headers, the login and the query of
            /// the base URL. For what others write about its requests, such as a panic message.
            pub fn redact(&self, text: &str) -> String {
                self.0.wire.peer().classifier.redactor.redact(text).into_owned()
            }
        }

        #[async_trait]
        impl LanguageModel for $client {
            /// The price is the one in [`KnownPrices`](crate::KnownPrices), if it is there.
            fn profile(&self) -> ModelProfile {
                self.0.profile.clone()
            }

            async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
                self.0.complete(request, attempts).await
            }

            async fn stream(
                &self,
                request: &LmRequest,
                attempts: &Attempts,
                tell: Tell<'_>,
            ) -> Result<LmReply, LmError> {
                self.0.stream(request, attempts, tell).await
            }
        }

        impl fmt::Debug for $client {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.debug(stringify!($client), formatter)
            }
        }
    };
}

/// Adds to a builder what can be given several times.
macro_rules! builder_surface {
    ($builder:ident, $module:ident) => {
        impl<S: $module::State> $builder<S> {
            /// Adds a header to every request. Its value may show up where a provider echoes it.
            pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                let value = SecretString::from(value.into());
                self.headers.push(ExtraHeader::new(name.into(), value, false));
                self
            }

            /// Adds a header whose value is a secret to every request, such as `api-key` or an `authorization`
            /// of another kind. Masked in everything the client says. With one, no key is looked for in the usual
            /// variable.
            pub fn secret_header(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
                self.headers.push(ExtraHeader::new(name.into(), value.into(), true));
                self
            }

            /// Adds a parameter to the body of every request, such as `top_k` or `reasoning_effort`. For Gemini,
            /// the entries of `generationConfig` go beside those of the client.
            pub fn extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
                self.extra.insert(name.into(), value.into());
                self
            }

            /// Adds parameters to the body of every request.
            pub fn extra_body(mut self, parameters: Map<String, Value>) -> Self {
                self.extra.extend(parameters);
                self
            }
        }
    };
}

pub(crate) use {builder_surface, client_surface};
