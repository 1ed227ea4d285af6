//! What a program gets of our environment.

use std::ffi::OsString;

use promptopt_core::secret::is_secret_name;

/// What programs need to find themselves, their files and the language of their user.
const USUAL: [&str; 37] = [
    "APPDATA",
    "CARGO_HOME",
    "COMSPEC",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "GOCACHE",
    "GOPATH",
    "GOROOT",
    "HOME",
    "JAVA_HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LOCALAPPDATA",
    "LOGNAME",
    "NODE_PATH",
    "NUMBER_OF_PROCESSORS",
    "PATH",
    "PATHEXT",
    "PROCESSOR_ARCHITECTURE",
    "PROGRAMDATA",
    "PROGRAMFILES",
    "PWD",
    "REQUESTS_CA_BUNDLE",
    "RUSTUP_HOME",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "TERM",
    "TMP",
    "TMPDIR",
    "TZ",
    "USER",
    "USERPROFILE",
];
/// The same by how the name begins.
const USUAL_BEGINNINGS: [&str; 9] =
    ["CONDA_", "CUDA_", "LC_", "OMP_", "PERL", "PYTHON", "RUBY", "VIRTUAL_ENV", "XDG_"];

/// The variables that a child process gets: the usual ones, and those that are handed on by name. A list of what is
/// allowed, because nobody can list the names under which people keep their secrets.
pub(crate) fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
    handed_on: &[String],
) -> Vec<(OsString, OsString)> {
    let given = |name: &OsString| {
        let name = name.to_string_lossy();
        // Windows knows no difference of case.
        let upper = name.to_ascii_uppercase();
        let usual =
            USUAL.contains(&upper.as_str()) || USUAL_BEGINNINGS.iter().any(|one| upper.starts_with(one));
        handed_on.iter().any(|one| *one == name) || usual && !is_secret_name(&name)
    };
    variables.filter(|(name, _)| given(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_what_it_is_given() {
        let all =
            ["PATH", "LC_ALL", "PYTHONPATH", "OPENAI_API_KEY", "DATABASE_URL", "CONDA_TOKEN", "LAB_KEY"];
        let names = |handed_on: &[&str]| -> Vec<String> {
            let variables = all.iter().map(|name| (name.into(), "value".into()));
            let handed_on: Vec<String> = handed_on.iter().map(|name| (*name).to_owned()).collect();
            let given = environment(variables, &handed_on);
            given.into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
        };
        assert_eq!(names(&[]), ["PATH", "LC_ALL", "PYTHONPATH"]);
        assert_eq!(
            names(&["LAB_KEY", "CONDA_TOKEN"]),
            ["PATH", "LC_ALL", "PYTHONPATH", "CONDA_TOKEN", "LAB_KEY"]
        );
    }
}
