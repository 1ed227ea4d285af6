//! A program state: the file as a whole.

use promptopt_core::prompt::{Prompt, Prompts};
use serde_json::{Map, Value, json};

use crate::layout::Place;
use crate::state::{self, State, is_predictor, new_state, object, put_prompt};
use crate::{Error, LONE, Layout, Versions};

/// Program states larger than this many bytes are not read. Deeper than 127 levels they are not
/// either.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

const METADATA: &str = "metadata";

/// The state of a DSPy program: everything that stands in the file, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct DspyProgram {
    root: Map<String, Value>,
}

impl DspyProgram {
    /// Reads the JSON that `program.save("….json")` writes in DSPy.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Json`], [`Error::Shape`] where something is not as DSPy writes
    /// it, and [`Error::NoPredictors`].
    pub fn read(json: &str) -> Result<Self, Error> {
        if json.len() > MAX_BYTES {
            return Err(Error::TooLarge { bytes: json.len() });
        }
        let mut value: Value = serde_json::from_str(json)?;
        object(Some(&value), || "the whole file".to_owned())?;
        let program = Self { root: value.as_object_mut().map(std::mem::take).unwrap_or_default() };
        let paths = program.paths();
        if paths.is_empty() {
            return Err(Error::NoPredictors);
        }
        for path in paths {
            State::read(path, program.state(path)?)?;
        }
        Ok(program)
    }

    /// A new state for a program with these prompts, which `program.load` reads in DSPy.
    /// Predictors without a prompt keep the instruction of their signature. Descriptions of fields
    /// are written as well; loading the file replaces those of the program in DSPy. DSPy itself
    /// turns tabs in an instruction into spaces and takes a common indentation out.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownPrompt`], [`Error::Path`] for a predictor that no Python program can have,
    /// [`Error::DemoValue`], and [`Error::NoPredictors`] for an empty layout.
    pub fn from_prompts(prompts: &Prompts, layout: &Layout, versions: &Versions) -> Result<Self, Error> {
        layout.check()?;
        if layout.places().is_empty() {
            return Err(Error::NoPredictors);
        }
        let prompts = checked(prompts, layout)?;
        let mut root = Map::new();
        for place in layout.places() {
            let basic = Prompt::new(place.signature.instructions());
            let state = new_state(&place.signature, prompts.get(&place.path).unwrap_or(&basic));
            if place.dspy_path == LONE {
                root.extend(state);
            } else {
                root.insert(place.dspy_path.clone(), Value::Object(state));
            }
        }
        root.insert(METADATA.to_owned(), json!({ "dependency_versions": versions }));
        Ok(Self { root })
    }

    /// The JSON that DSPy would write: two spaces of indentation, a newline at the end, and what
    /// was read in the order in which it was read. A file that DSPy saved comes back byte for byte.
    pub fn to_json(&self) -> String {
        // A map of JSON values always has a JSON form; `Display` with `#` writes it indented.
        format!("{:#}\n", Value::Object(self.root.clone()))
    }

    /// The paths of the predictors, as `program.named_predictors()` gives them in DSPy; [`LONE`]
    /// when the program is a predictor by itself.
    pub fn paths(&self) -> Vec<&str> {
        let is_text = self.root.get("signature").and_then(|signature| signature.get("instructions"));
        let older = self.root.get("signature_instructions");
        let is_lone = [is_text, older].into_iter().flatten().any(Value::is_string);
        if is_lone || self.root.get("demos").is_some_and(Value::is_array) {
            return vec![LONE];
        }
        self.root
            .iter()
            .filter(|(path, state)| *path != METADATA && is_predictor(state))
            .map(|(path, _)| path.as_str())
            .collect()
    }

    /// The versions the file says it was saved with, where it says all of them.
    pub fn versions(&self) -> Option<Versions> {
        let versions = self.root.get(METADATA)?.get("dependency_versions")?;
        serde_json::from_value(versions.clone()).ok()
    }

    /// The prompts in this state, for a program with these predictors. A predictor is found at the
    /// layout's path in DSPy, at its own, or one step down in `predict`; a lone one where the
    /// file's lone one is.
    ///
    /// # Errors
    ///
    /// [`Error::MissingPredictor`] and [`Error::UnusedPredictors`] when file and program have other
    /// predictors; [`Error::FieldCount`], [`Error::FieldName`] and [`Error::DemoValue`] when one
    /// has other fields; [`Error::Path`] when two are found in one place.
    pub fn prompts(&self, layout: &Layout) -> Result<Prompts, Error> {
        let found = self.find(layout)?;
        let is_used = |path: &&str| found.iter().any(|(_, used)| used == path);
        let unused: Vec<String> =
            self.paths().into_iter().filter(|path| !is_used(path)).map(str::to_owned).collect();
        if !unused.is_empty() {
            return Err(Error::UnusedPredictors { predictors: unused });
        }
        found.iter().map(|(place, path)| Ok((place.path.as_str(), self.prompt(place, path)?))).collect()
    }

    /// Puts prompts in the place of those that are there. Predictors without a prompt, and all else
    /// in the file, stay as they are. On an error nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownPrompt`] for a prompt without a predictor in the layout, and those of
    /// [`DspyProgram::prompts`]; predictors that only the file has are fine.
    pub fn update(&mut self, prompts: &Prompts, layout: &Layout) -> Result<(), Error> {
        let prompts = checked(prompts, layout)?;
        let mut changes = Vec::new();
        for (place, path) in self.find(layout)? {
            let there = self.prompt(place, path)?;
            if let Some(prompt) = prompts.get(&place.path) {
                changes.push((path.to_owned(), place, there, prompt));
            }
        }
        for (path, place, there, prompt) in changes {
            let state = match self.root.get_mut(&path) {
                Some(Value::Object(state)) => state,
                _ => &mut self.root,
            };
            put_prompt(state, prompt, &there, &place.signature);
        }
        Ok(())
    }

    /// Every predictor of the layout with its path in this file.
    fn find<'a, 'b>(&'a self, layout: &'b Layout) -> Result<Vec<(&'b Place, &'a str)>, Error> {
        let paths = self.paths();
        let mut found: Vec<(&Place, &str)> = Vec::new();
        for place in layout.places() {
            let candidates = place.candidates();
            let by_name =
                candidates.iter().find_map(|candidate| paths.iter().find(|path| *path == candidate));
            let path = match (by_name, paths.as_slice(), layout.places()) {
                (Some(path), ..) | (None, [path], [_]) => *path,
                _ => {
                    return Err(Error::MissingPredictor {
                        predictor: place.path.clone(),
                        found: paths.into_iter().map(str::to_owned).collect(),
                    });
                }
            };
            if found.iter().any(|(_, used)| *used == path) {
                return Err(Error::Path {
                    predictor: place.path.clone(),
                    path: path.to_owned(),
                    reason: "another predictor is there",
                });
            }
            found.push((place, path));
        }
        Ok(found)
    }

    fn prompt(&self, place: &Place, path: &str) -> Result<Prompt, Error> {
        State::read(path, self.state(path)?)?.prompt(place)
    }

    /// DSPy up to 2.5 keeps a lone `ChainOfThought` under the name that stands for a lone `Predict` here.
    fn state(&self, path: &str) -> Result<&Map<String, Value>, Error> {
        match self.root.get(path) {
            None if path == LONE => Ok(&self.root),
            state => object(state, || format!("the predictor `{path}`")),
        }
    }
}

/// The prompts with their demos read by the types of the fields, after checking that each belongs to a predictor.
fn checked(prompts: &Prompts, layout: &Layout) -> Result<Prompts, Error> {
    let one = |(path, prompt): (&str, &Prompt)| {
        let place = layout.places().iter().find(|place| place.path == path);
        let place = place.ok_or_else(|| Error::UnknownPrompt { predictor: path.to_owned() })?;
        Ok((path.to_owned(), prompt.clone().with_demos(state::checked(&prompt.demos, place)?)))
    };
    prompts.iter().map(one).collect()
}
