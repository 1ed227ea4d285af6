//! Signatures and types in their short form.

use promptopt_core::signature::{FieldType, Signature};

/// A signature that is read is written and read again as the same.
pub fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = FieldType::parse(&text);
    let Ok(signature) = Signature::parse(&text) else { return };
    let written = signature.to_string();
    let again = Signature::parse(&written).expect("what was written can be read");
    assert_eq!(again, signature, "{written}");
}
