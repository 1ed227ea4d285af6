//! Images and files of a row: their bytes from a path, from base64 or from a column of bytes.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use promptopt_core::data::{Fields, shorten};
use promptopt_core::lm::{Role, data_of_url, data_url};
use promptopt_core::signature::FieldType;
use serde_json::Value;

use crate::words::{self, list};

/// The largest image or file in bytes.
pub const MAX_FILE_BYTES: usize = 20 * 1024 * 1024;

/// A longer text is no path.
const MAX_PATH_BYTES: usize = 4096;

/// What is found by its first bytes, and the media type of it.
const KNOWN: [(&[u8], &str); 6] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
];

/// The media type of some bytes by what they are: PNG, JPEG, GIF, WebP, PDF or ZIP.
pub(crate) fn media_type(bytes: &[u8]) -> Option<&'static str> {
    let is_webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    let known = KNOWN.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, kind)| *kind);
    known.or_else(|| is_webp.then_some("image/webp"))
}

/// Where the files of a data set may be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// The folder that relative paths start at; none where a data set is in no folder.
    pub(crate) folder: Option<PathBuf>,
    /// Whether a path may lead out of the folder.
    pub(crate) outside: bool,
}

/// What is wrong with an image or a file, in words behind what the row says.
type Flaw = String;

impl Files {
    /// A value of a type that is shown, in the form that [`FieldType::read`] takes: with its bytes in place of a path.
    pub(crate) fn read(&self, value: Value, kind: &FieldType) -> Result<Value, Flaw> {
        match (kind, value) {
            (_, Value::Null) => Ok(Value::Null),
            (FieldType::Optional(_), Value::String(text)) if text.trim().is_empty() => Ok(Value::Null),
            (FieldType::Optional(item), value) => self.read(value, item),
            (FieldType::List(item), Value::String(text)) if item.is_shown() => {
                match serde_json::from_str(text.trim()) {
                    Ok(Value::Array(items)) => self.read(Value::Array(items), kind),
                    _ => Ok(Value::from(text)),
                }
            }
            (FieldType::List(item), Value::Array(items)) => {
                items.into_iter().map(|one| self.read(one, item)).collect()
            }
            (FieldType::Union(kinds), value) => {
                let shown = kinds.iter().filter(|kind| kind.is_shown());
                let read = shown.map(|kind| self.read(value.clone(), kind));
                let read = read.filter_map(Result::ok).find(|read| kind.admits(read) && *read != value);
                Ok(read.unwrap_or(value))
            }
            (FieldType::Image, value) => self.image(value),
            (FieldType::File, value) => self.file(value),
            (_, value) => Ok(value),
        }
    }

    /// A history whose turns may hold images and files of the program's fields.
    pub(crate) fn history<'t>(
        &self,
        history: Value,
        kind_of: impl Fn(&str) -> Option<&'t FieldType>,
    ) -> Result<Value, Flaw> {
        if let Some((number, role)) = unknown_role(&history) {
            let roles = "system, developer, user, assistant and tool";
            return Err(format!("its turn {number} has the role {role}, and roles are {roles}"));
        }
        let mut turns = match FieldType::History.read(history) {
            Ok(Value::Array(turns)) => turns,
            Ok(other) | Err(other) => return Ok(other),
        };
        for (at, fields) in turns.iter_mut().filter_map(Value::as_object_mut).enumerate() {
            let place = |flaw: Flaw| format!("in its turn {}, {flaw}", at + 1);
            if fields.contains_key("role") {
                self.images_of(fields.get_mut("content")).map_err(place)?;
            } else if !fields.keys().any(|name| kind_of(name).is_some()) {
                let names = list(fields.keys().map(String::as_str));
                return Err(format!(
                    "its turn {} has {names}, and neither a role nor a field of the program",
                    at + 1
                ));
            }
            for (name, value) in fields.iter_mut() {
                if let Some(kind) = kind_of(name).filter(|kind| kind.is_shown()) {
                    let read = self.read(value.take(), kind)?;
                    *value = kind.read(read).map_err(|_| format!("the turn's `{name}` is no {kind}"))?;
                }
            }
        }
        Ok(Value::Array(turns))
    }

    /// Reads the images in the parts of a message.
    fn images_of(&self, content: Option<&mut Value>) -> Result<(), Flaw> {
        let parts = content.and_then(Value::as_array_mut).into_iter().flatten();
        for image in parts.filter_map(|part| part.get_mut("image_url")) {
            *image = self.image(image.take())?;
        }
        Ok(())
    }

    fn image(&self, value: Value) -> Result<Value, Flaw> {
        match value {
            Value::String(text) => {
                let source = self.source(&text)?;
                let Some(Source { bytes, declared, .. }) = source else { return Ok(Value::from(text)) };
                let kind = match (media_type(&bytes), declared) {
                    (Some(kind), _) => kind.to_owned(),
                    (None, Some(declared)) if !declared.is_empty() => declared,
                    (None, _) => return Err(format!("{} is none of PNG, JPEG, GIF and WebP", named(&text))),
                };
                if !kind.starts_with("image/") {
                    return Err(format!(
                        "{} is {kind} and no image: give the field the type file",
                        named(&text)
                    ));
                }
                Ok(Value::from(data_url(&kind, &bytes)))
            }
            Value::Object(mut fields) => match bytes_or_path(&fields) {
                Some(text) => self.image(Value::from(text)),
                None => {
                    let url = fields.get_mut("url").filter(|url| url.is_string());
                    if let Some(url) = url {
                        *url = self.image(url.take())?;
                    }
                    Ok(Value::Object(fields))
                }
            },
            other => Ok(other),
        }
    }

    fn file(&self, value: Value) -> Result<Value, Flaw> {
        let text = match &value {
            Value::String(text) => Some(text.clone()),
            Value::Object(fields) => {
                let data = fields.get("file_data").and_then(Value::as_str).map(str::to_owned);
                bytes_or_path(fields).or(data)
            }
            _ => None,
        };
        let Some(text) = text else { return Ok(value) };
        let Some(Source { bytes, declared, path }) = self.source(&text)? else { return Ok(value) };
        let mut fields = match value {
            Value::Object(fields) => fields,
            _ => Fields::new(),
        };
        let name = ["filename", "path"].into_iter().find_map(|key| fields.get(key)?.as_str());
        let name = name.or(path).map(str::to_owned);
        // Many formats are packed as ZIP is.
        let (zip, by_content) = match media_type(&bytes) {
            Some("application/zip") => (Some("application/zip".to_owned()), None),
            other => (None, other.map(str::to_owned)),
        };
        let is_text = || std::str::from_utf8(&bytes).is_ok().then(|| "text/plain".to_owned());
        let declared = declared.filter(|kind| !kind.is_empty() && kind != "application/octet-stream");
        let kind = by_content.or(declared).or(zip).or_else(is_text);
        let data = data_url(&kind.unwrap_or_else(|| "application/octet-stream".to_owned()), &bytes);
        for source in ["bytes", "path"] {
            fields.shift_remove(source);
        }
        if let Some(name) = name.as_deref().map(Path::new).and_then(Path::file_name) {
            fields.insert("filename".to_owned(), name.to_string_lossy().into());
        }
        fields.insert("file_data".to_owned(), data.into());
        Ok(Value::Object(fields))
    }

    /// The bytes that a text holds or names; `None` for an address, which is not loaded, and for an empty text.
    fn source<'t>(&self, text: &'t str) -> Result<Option<Source<'t>>, Flaw> {
        let text = text.trim();
        if text.is_empty()
            || ["http://", "https://", "gs://", "<<CUSTOM-TYPE"].iter().any(|it| text.starts_with(it))
        {
            return Ok(None);
        }
        if text.starts_with("data:") {
            check_size(text.len() / 4 * 3, text)?;
            let (kind, bytes) = data_of_url(text)
                .ok_or_else(|| format!("{} is not base64 behind `data:image/png;base64,`", named(text)))?;
            return Ok(Some(Source { bytes, declared: Some(kind.to_owned()), path: None }));
        }
        if let Some(bytes) = base64(text) {
            check_size(bytes.len(), "the base64")?;
            return Ok(Some(Source { bytes, declared: None, path: None }));
        }
        Ok(Some(Source { bytes: self.load(text)?, declared: None, path: Some(text) }))
    }

    /// The bytes of the file at a path.
    fn load(&self, text: &str) -> Result<Vec<u8>, Flaw> {
        let name = named(text);
        if text.len() > MAX_PATH_BYTES {
            return Err(format!("{name} is no path, and not base64 of PNG, JPEG, GIF, WebP, PDF or ZIP"));
        }
        let Some(folder) = &self.folder else {
            return Err(format!(
                "{name} is a path, and these rows are in no folder: give base64, or for an image an address"
            ));
        };
        let path = Path::new(text);
        let stays = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        let outside = || {
            format!("{name} leads out of the folder of the data file: copy it there, or set `files_outside`")
        };
        if !self.outside && !path.components().all(stays) {
            return Err(outside());
        }
        let cannot = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("{name} is not in the folder `{}`", folder.display()),
            _ => format!("{name} cannot be read ({error})"),
        };
        let whole = fs::canonicalize(folder.join(path)).map_err(cannot)?;
        // A link may lead out as well.
        if !self.outside && !whole.starts_with(fs::canonicalize(folder).map_err(cannot)?) {
            return Err(outside());
        }
        let found = fs::metadata(&whole).map_err(cannot)?;
        promptopt_core::file::check(found.file_type())
            .map_err(|error| format!("{name} cannot be read, because {error}"))?;
        check_size(usize::try_from(found.len()).unwrap_or(usize::MAX), text)?;
        let mut bytes = Vec::new();
        let file = File::open(&whole).map_err(cannot)?;
        file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
        check_size(bytes.len(), text)?;
        Ok(bytes)
    }
}

/// Bytes, and what is known of them.
struct Source<'t> {
    bytes: Vec<u8>,
    /// The media type that somebody says they have.
    declared: Option<String>,
    /// The path they are from.
    path: Option<&'t str>,
}

/// The bytes or else the path of what a column of images of a Hugging Face data set holds.
fn bytes_or_path(fields: &Fields) -> Option<String> {
    let known = fields.keys().all(|name| ["bytes", "path"].contains(&name.as_str()));
    let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
    text("bytes").or_else(|| text("path")).filter(|_| known)
}

/// The bytes of a text that is base64 of something known.
fn base64(text: &str) -> Option<Vec<u8>> {
    let is_one_word = !text.contains(char::is_whitespace);
    let text = if is_one_word { Cow::from(text) } else { text.split_whitespace().collect::<String>().into() };
    let begins = text.bytes().take(16).all(|it| it.is_ascii_alphanumeric() || b"+/=".contains(&it));
    let url = begins.then(|| format!("data:;base64,{text}"))?;
    let (_, bytes) = data_of_url(&url)?;
    media_type(&bytes).map(|_| bytes)
}

fn check_size(bytes: usize, what: &str) -> Result<(), Flaw> {
    if bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    let most = MAX_FILE_BYTES / (1024 * 1024);
    Err(format!("{} has more than {most} MiB: give a smaller one", named(what)))
}

fn named(text: &str) -> String {
    let text =
        text.split_once(',').filter(|(kind, _)| kind.starts_with("data:")).map_or(text, |(kind, _)| kind);
    format!("`{}`", words::shorten(text))
}

/// The first turn with a role that there is none of, counted from 1.
fn unknown_role(history: &Value) -> Option<(usize, String)> {
    let turns = history.get("messages").unwrap_or(history).as_array()?;
    turns.iter().enumerate().find_map(|(at, turn)| {
        let role = turn.get("role").filter(|_| turn.get("content").is_some())?;
        serde_json::from_value::<Role>(role.clone())
            .is_err()
            .then(|| (at + 1, shorten(&role.to_string(), 40)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

    fn folder() -> (tempfile::TempDir, Files) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data");
        fs::create_dir_all(folder.join("images")).unwrap();
        fs::write(folder.join("images/a.jpg"), PNG).unwrap();
        fs::write(folder.join("images/doc.pdf"), b"%PDF-1.7").unwrap();
        fs::write(folder.join("note.txt"), "a note").unwrap();
        fs::write(home.path().join("secret.png"), PNG).unwrap();
        (home, Files { folder: Some(folder), outside: false })
    }

    fn image(files: &Files, value: Value) -> Result<Value, Flaw> {
        files.read(value, &FieldType::Image)
    }

    #[test]
    fn an_image_is_found_however_it_is_given() {
        let (_home, files) = folder();
        let url = data_url("image/png", PNG);
        let bare = url.split_once(',').unwrap().1.to_owned();
        let lines = format!("{}\n{}", &bare[..8], &bare[8..]);
        for value in [
            json!("images/a.jpg"),
            json!("./images/a.jpg"),
            json!(url),
            json!(data_url("image/gif", PNG)),
            json!(bare),
            json!(lines),
            json!({"bytes": url, "path": "x.jpg"}),
            json!({"bytes": null, "path": "images/a.jpg"}),
            json!({"bytes": bare}),
        ] {
            assert_eq!(image(&files, value.clone()), Ok(json!(url)), "{value}");
        }
        assert_eq!(
            image(&files, json!({"url": "images/a.jpg", "detail": "low"})),
            Ok(json!({"url": url, "detail": "low"}))
        );
        // Nothing is loaded from anywhere.
        assert_eq!(image(&files, json!("https://x.org/a.png")), Ok(json!("https://x.org/a.png")));
        let many = FieldType::parse("list[image]").unwrap();
        assert_eq!(files.read(json!(["images/a.jpg"]), &many), Ok(json!([url])));
        assert_eq!(files.read(json!("[\"images/a.jpg\"]"), &many), Ok(json!([url])));
        let either = FieldType::parse("image | str").unwrap();
        assert_eq!(files.read(json!("images/a.jpg"), &either), Ok(json!(url)));
        assert_eq!(files.read(json!("a text"), &either), Ok(json!("a text")));
        let optional = FieldType::parse("image?").unwrap();
        assert_eq!(files.read(json!(""), &optional), Ok(json!(null)));
    }

    #[test]
    fn a_file_has_its_name_and_its_type_by_content() {
        let (_home, files) = folder();
        let read = |value: Value| files.read(value, &FieldType::File).unwrap();
        let pdf = data_url("application/pdf", b"%PDF-1.7");
        let whole = json!({"filename": "doc.pdf", "file_data": pdf});
        assert_eq!(read(json!("images/doc.pdf")), whole);
        assert_eq!(read(json!({"path": "images/doc.pdf"})), whole);
        assert_eq!(read(json!({"filename": "doc.pdf", "file_data": data_url("", b"%PDF-1.7")})), whole);
        assert_eq!(read(json!({"file_id": "f"})), json!({"file_id": "f"}));
        assert_eq!(read(json!("note.txt"))["file_data"], json!(data_url("text/plain", b"a note")));
    }

    #[test]
    fn a_path_stays_in_the_folder() {
        let (home, mut files) = folder();
        let absolute = home.path().join("secret.png");
        let mut paths = vec!["../secret.png".to_owned(), "images/../../secret.png".to_owned()];
        paths.push(absolute.display().to_string());
        #[cfg(unix)]
        {
            let folder = files.folder.clone().unwrap();
            std::os::unix::fs::symlink(&absolute, folder.join("link.png")).unwrap();
            std::os::unix::fs::symlink(home.path(), folder.join("up")).unwrap();
            paths.extend(["link.png".to_owned(), "up/secret.png".to_owned()]);
        }
        for path in &paths {
            let flaw = image(&files, json!(path)).unwrap_err();
            assert!(flaw.contains("leads out of the folder of the data file"), "{flaw}");
        }
        files.outside = true;
        for path in paths {
            assert!(image(&files, json!(path)).is_ok(), "{path}");
        }
    }

    #[test]
    fn an_object_of_a_file_keeps_what_it_says() {
        let (_home, files) = folder();
        let read = |value: Value| files.read(value, &FieldType::File).unwrap();
        let address = json!({"filename": "a.pdf", "file_data": "https://example.org/a.pdf"});
        assert_eq!(read(address.clone()), address);
        let both = read(json!({"file_id": "f", "filename": "a.txt", "file_data": "note.txt"}));
        assert_eq!((&both["file_id"], &both["filename"]), (&json!("f"), &json!("a.txt")));
        let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        let document = data_url(word, b"PK\x03\x04rest");
        assert_eq!(read(json!(document))["file_data"], json!(document));
        assert_eq!(
            read(json!(data_url("", b"PK\x03\x04rest")))["file_data"],
            json!(data_url("application/zip", b"PK\x03\x04rest"))
        );
        let flaw = files.read(json!("Qk02".repeat(2000)), &FieldType::File).unwrap_err();
        assert!(flaw.contains("is no path, and not base64 of"), "{flaw}");
    }

    #[test]
    fn what_is_no_image_says_so() {
        let (_home, files) = folder();
        let check = |value: Value, says: &str| {
            let flaw = image(&files, value).unwrap_err();
            assert!(flaw.contains(says), "{flaw}");
        };
        check(json!("images/none.png"), "`images/none.png` is not in the folder");
        check(json!("note.txt"), "is none of PNG, JPEG, GIF and WebP");
        check(json!("images/doc.pdf"), "is application/pdf and no image: give the field the type file");
        check(json!("images"), "because it is a folder");
        check(json!("data:image/png;base64,?"), "is not base64");
        check(json!("data:image/png,AAAA"), "is not base64");
        let big = format!("data:image/png;base64,{}", "A".repeat(MAX_FILE_BYTES / 3 * 4 + 8));
        check(json!(big), "has more than 20 MiB");
        let sparse = File::create(files.folder.clone().unwrap().join("big.png")).unwrap();
        sparse.set_len(MAX_FILE_BYTES as u64 + 1).unwrap();
        check(json!("big.png"), "`big.png` has more than 20 MiB");
        let nowhere = Files::default().read(json!("a.png"), &FieldType::Image).unwrap_err();
        assert!(nowhere.contains("in no folder"), "{nowhere}");
    }

    #[test]
    fn turns_of_a_history_hold_images_too() {
        let (_home, files) = folder();
        let history = json!({"messages": [{"photo": "images/a.jpg", "text": "images/a.jpg"}, {"role": "user", "content": "hi"}]});
        let read = files.history(history, |name| (name == "photo").then_some(&FieldType::Image)).unwrap();
        let url = data_url("image/png", PNG);
        assert_eq!(read, json!([{"photo": url, "text": "images/a.jpg"}, {"role": "user", "content": "hi"}]));
    }

    #[test]
    fn webp_is_known_by_both_of_its_marks() {
        assert_eq!(media_type(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(media_type(b"RIFF\0\0\0\0WAVEfmt "), None);
        assert_eq!(media_type(b"RIFF"), None);
        assert_eq!(media_type(b""), None);
    }

    #[test]
    fn histories_that_say_nothing_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("p.png"), b"\x89PNG\r\n\x1a\n").unwrap();
        let files = Files { folder: Some(folder.path().to_owned()), outside: false };
        let kind_of = |name: &str| ["question", "reply"].contains(&name).then_some(&FieldType::String);
        let check = |history: Value| files.history(history, kind_of);
        let shows = |url: &str| json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]);
        for (history, flaw) in [
            (json!([{"from": "human", "value": "Hi"}]), "its turn 1 has `from`, `value`, and neither a role"),
            (json!([{"question": "Hi"}, {"mesage": "Hi"}]), "its turn 2 has `mesage`"),
            (
                json!([{"role": "customer", "content": "Hi"}]),
                "its turn 1 has the role \"customer\", and roles are system",
            ),
            (json!({"messages": [{"role": "User", "content": "Hi"}]}), "has the role \"User\""),
            (shows("nope.png"), "in its turn 1, "),
        ] {
            let found = check(history).unwrap_err();
            assert!(found.contains(flaw), "{found}");
        }
        for history in
            [json!([]), json!([{"role": "user", "content": "Hi"}]), json!([{"question": "Hi", "more": 1}])]
        {
            assert_eq!(check(history.clone()), Ok(history));
        }
        let read = check(shows("p.png")).unwrap();
        assert!(read.to_string().contains("data:image/png;base64,"), "{read}");
    }
}
