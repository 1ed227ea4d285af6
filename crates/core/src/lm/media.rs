//! Images, sounds and files, at an address or with their bytes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// An image, at an address or with its bytes. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Image {
    /// An address (`https://…`), or the bytes (`data:image/png;base64,…`).
    pub url: Arc<str>,
    /// How closely the model is to look, in the provider's words: `low`, `high` or `auto`.
    pub detail: Option<String>,
}

impl Image {
    /// The image at an address.
    pub fn at(url: impl Into<Arc<str>>) -> Self {
        Self { url: url.into(), detail: None }
    }

    /// An image from its bytes and their media type, such as `image/png`.
    pub fn of_bytes(media_type: &str, bytes: &[u8]) -> Self {
        Self::at(data_url(media_type, bytes))
    }

    /// With how closely the model is to look: `low`, `high` or `auto`.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// A sound with its bytes. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Audio {
    /// The bytes in base64.
    pub data: Arc<str>,
    /// Their format, such as `wav` or `mp3`.
    pub format: String,
}

impl Audio {
    /// A sound from its bytes and their format, such as `wav`.
    pub fn of_bytes(format: impl Into<String>, bytes: &[u8]) -> Self {
        Self { data: BASE64.encode(bytes).into(), format: format.into() }
    }
}

/// A file: with its bytes, or one that the provider has. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct File {
    /// Its name.
    pub name: Option<String>,
    /// Under which the provider has it.
    pub id: Option<String>,
    /// The bytes, as `data:application/pdf;base64,…`.
    pub data: Option<Arc<str>>,
}

impl File {
    /// A file from its name, its media type, such as `application/pdf`, and its bytes.
    pub fn of_bytes(name: impl Into<String>, media_type: &str, bytes: &[u8]) -> Self {
        Self { name: Some(name.into()), id: None, data: Some(data_url(media_type, bytes).into()) }
    }

    /// A file that the provider has under this id.
    pub fn with_id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }
}

/// Bytes as an address that holds them.
pub fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", BASE64.encode(bytes))
}

/// The media type and the base64 data of an address that holds bytes; `None` where it holds none.
pub fn split_data_url(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

/// The media type and the bytes of an address that holds them; `None` where it holds none, or is broken.
pub fn data_of_url(url: &str) -> Option<(&str, Vec<u8>)> {
    let (media_type, data) = split_data_url(url)?;
    Some((media_type, BASE64.decode(data.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_an_address_and_come_back() {
        let image = Image::of_bytes("image/png", &[1, 2, 3]);
        assert_eq!(data_of_url(&image.url), Some(("image/png", vec![1, 2, 3])));
        assert_eq!(data_of_url("https://example.org/a.png"), None);
        assert_eq!(data_of_url("data:image/png;base64,?"), None);
    }
}
