//! Dependencies between our crates: arrows only point down, and one crate has all optimizers behind features.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::finding::Finding;
use crate::shell;

/// This file, for messages that say where to add a crate.
const HERE: &str = "xtask/src/tidy/arrows.rs";

/// Which of our crates a crate may depend on. Dev-dependencies are free, since nobody inherits them.
const ALLOWED: &[(&str, &[&str])] = &[
    ("promptopt-core", &[]),
    ("promptopt-statistics", &[]),
    ("promptopt-tips", &["promptopt-core"]),
    ("promptopt-macros", &[]),
    ("promptopt-predict", &["promptopt-core", "promptopt-macros"]),
    ("promptopt-process", &["promptopt-core"]),
    ("promptopt-mcp", &["promptopt-core", "promptopt-predict", "promptopt-process"]),
    ("promptopt-otel", &["promptopt-core"]),
    ("promptopt-gateway", &["promptopt-core", "promptopt-process"]),
    ("promptopt-lm", &["promptopt-core"]),
    ("promptopt-lm-local", &["promptopt-core"]),
    ("promptopt-data", &["promptopt-core"]),
    ("promptopt-dspy", &["promptopt-core"]),
    ("promptopt-store", &["promptopt-core"]),
    ("promptopt-run", &["promptopt-core", "promptopt-predict", "promptopt-statistics"]),
    // It takes the place of a rollout, and knows nothing of what asks for it.
    ("promptopt-fleet", &["promptopt-core", "promptopt-run"]),
    // Stages do not know each other, and none knows an optimizer.
    ("promptopt-trace-gen", &["promptopt-core", "promptopt-run"]),
    ("promptopt-proposer", &["promptopt-core", "promptopt-run", "promptopt-tips"]),
    ("promptopt-evaluator", &["promptopt-core", "promptopt-run", "promptopt-statistics"]),
    // Strategies stand on run and stages, and know nothing of each other.
    (
        "miprov2",
        &[
            "promptopt-core",
            "promptopt-evaluator",
            "promptopt-proposer",
            "promptopt-run",
            "promptopt-tips",
            "promptopt-trace-gen",
        ],
    ),
    ("promptopt-copro", &["promptopt-core", "promptopt-evaluator", "promptopt-run"]),
    ("promptopt-gepa", &["promptopt-core", "promptopt-evaluator", "promptopt-run", "promptopt-statistics"]),
    (
        "promptopt-random-search",
        &["promptopt-core", "promptopt-evaluator", "promptopt-run", "promptopt-trace-gen"],
    ),
    (
        "promptopt-simba",
        &[
            "promptopt-core",
            "promptopt-evaluator",
            "promptopt-run",
            "promptopt-statistics",
            "promptopt-trace-gen",
        ],
    ),
    ("promptopt-report", &["promptopt-core", "promptopt-run", "promptopt-statistics"]),
    ("promptopt-testkit", &["promptopt-core", "promptopt-predict", "promptopt-run"]),
    ("xtask", &[]),
];

/// The top of the workspace, from where everything may be used.
const TOP: &[&str] = &[
    "promptopt",
    "promptopt-bench",
    "promptopt-cli",
    "promptopt-examples",
    "promptopt-service",
    "promptopt-tests",
];

/// The crate that has everything behind one name.
const FACADE: &str = "promptopt";

/// Siblings: no row of the table may let one of them import another. Each is a feature of the facade.
const OPTIMIZERS: &[&str] =
    &["miprov2", "promptopt-copro", "promptopt-gepa", "promptopt-random-search", "promptopt-simba"];

/// What core refuses: runtimes, HTTP and templates.
const NOT_IN_CORE: &[&str] =
    &["askama", "axum", "handlebars", "hyper", "liquid", "minijinja", "reqwest", "tera", "tokio", "ureq"];

/// A crate of the workspace with what it depends on when somebody uses it.
struct Package {
    name: String,
    manifest: String,
    dependencies: BTreeSet<String>,
    /// What its features turn on.
    features: BTreeMap<String, Vec<String>>,
}

/// Asks cargo for the workspace and checks it against the table.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut cargo = shell::cargo();
    cargo.current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value =
        serde_json::from_str(&shell::output(&mut cargo)?).context("reading cargo metadata")?;
    let packages = packages(&metadata, root).context("cargo metadata has another shape than expected")?;
    Ok(findings(&packages))
}

fn packages(metadata: &Value, root: &Path) -> Option<Vec<Package>> {
    let package = |package: &Value| {
        let manifest = Path::new(package.get("manifest_path")?.as_str()?);
        let inherited = |dependency: &&Value| dependency.get("kind").and_then(Value::as_str) != Some("dev");
        let dependencies = package.get("dependencies")?.as_array()?.iter().filter(inherited);
        Some(Package {
            name: package.get("name")?.as_str()?.to_owned(),
            manifest: manifest.strip_prefix(root).unwrap_or(manifest).display().to_string(),
            dependencies: dependencies.filter_map(|d| Some(d.get("name")?.as_str()?.to_owned())).collect(),
            features: serde_json::from_value(package.get("features")?.clone()).ok()?,
        })
    };
    metadata.get("packages")?.as_array()?.iter().map(package).collect()
}

fn findings(packages: &[Package]) -> Vec<Finding> {
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        let mut found = |message: String| findings.push(Finding::new(&package.manifest, 0, message));
        for optimizer in OPTIMIZERS.iter().filter(|_| name == FACADE) {
            let feature = optimizer.trim_start_matches("promptopt-");
            let turned_on = package.features.get(feature).map_or(&[][..], Vec::as_slice);
            if !turned_on.contains(&format!("dep:{optimizer}")) {
                found(format!("has no feature `{feature}` that turns on the optimizer `dep:{optimizer}`"));
            }
        }
        let row = ALLOWED.iter().find(|(known, _)| *known == name).map(|(_, row)| *row);
        if row.is_none() && !TOP.contains(&name) {
            found(format!("`{name}` is unknown: say in {HERE} which of our crates it may use"));
            continue;
        }
        for dependency in &package.dependencies {
            let dependency = dependency.as_str();
            let sibling = OPTIMIZERS.contains(&name) && OPTIMIZERS.contains(&dependency);
            let allowed = row.is_none_or(|row| row.contains(&dependency));
            if sibling {
                found(format!("`{name}` depends on `{dependency}`: optimizers do not import each other"));
            } else if ours.contains(dependency) && !allowed {
                found(format!("`{name}` must not depend on `{dependency}` (table in {HERE})"));
            } else if name == "promptopt-core" && NOT_IN_CORE.contains(&dependency) {
                found(format!("core must not depend on `{dependency}`: it holds data and traits only"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(crates: &[(&str, &[&str])]) -> Vec<String> {
        let package = |(name, dependencies): &(&str, &[&str])| Package {
            name: (*name).to_owned(),
            manifest: "Cargo.toml".to_owned(),
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            features: BTreeMap::new(),
        };
        let packages: Vec<Package> = crates.iter().map(package).collect();
        findings(&packages).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_table_itself_points_down() {
        assert!(messages(ALLOWED).is_empty());
        for (index, (name, row)) in ALLOWED.iter().enumerate() {
            for dependency in *row {
                let at = ALLOWED.iter().position(|(known, _)| known == dependency);
                assert!(at.is_some_and(|at| at < index), "{name} -> {dependency}");
            }
        }
    }

    #[test]
    fn arrows_that_point_up_or_aside_are_found() {
        let up =
            messages(&[("promptopt-core", &["promptopt-tips"]), ("promptopt-tips", &["promptopt-core"])]);
        assert_eq!(up.len(), 1);
        let aside =
            messages(&[("promptopt-evaluator", &["promptopt-trace-gen"]), ("promptopt-trace-gen", &[])]);
        assert_eq!(aside.len(), 1);
        let top = messages(&[("miprov2", &["promptopt-cli"]), ("promptopt-cli", &[])]);
        assert_eq!(top.len(), 1);
        assert!(
            messages(&[("promptopt-tests", &["promptopt-cli"]), ("promptopt-cli", &["miprov2"])]).is_empty()
        );
        let sibling = messages(&[("miprov2", &["promptopt-gepa"])]);
        assert!(sibling[0].contains("optimizers do not import each other"));
    }

    #[test]
    fn the_facade_has_a_feature_for_every_optimizer() {
        let feature = |optimizer: &&str| {
            let name = optimizer.trim_start_matches("promptopt-").to_owned();
            (name, vec![format!("dep:{optimizer}")])
        };
        let mut facade = Package {
            name: FACADE.to_owned(),
            manifest: "Cargo.toml".to_owned(),
            dependencies: BTreeSet::new(),
            features: OPTIMIZERS.iter().map(feature).collect(),
        };
        assert!(findings(std::slice::from_ref(&facade)).is_empty());
        facade.features.remove("simba");
        facade.features.insert("gepa".to_owned(), Vec::new());
        let missing: Vec<String> = findings(&[facade]).into_iter().map(|finding| finding.message).collect();
        assert!(missing.len() == 2 && missing[0].contains("`gepa`") && missing[1].contains("`simba`"));
    }

    #[test]
    fn core_refuses_a_runtime_and_others_do_not() {
        assert_eq!(messages(&[("promptopt-core", &["serde", "tokio"])]).len(), 1);
        assert!(messages(&[("promptopt-lm", &["reqwest", "tokio"])]).is_empty());
    }

    #[test]
    fn an_unknown_crate_is_told_where_to_go() {
        assert!(messages(&[("promptopt-new", &[])])[0].contains(HERE));
    }

    #[test]
    fn dev_dependencies_are_not_counted() {
        let dependency = |name: &str, kind: Value| json!({"name": name, "kind": kind});
        let metadata = json!({"packages": [{
            "name": "promptopt-core",
            "manifest_path": "repo/crates/core/Cargo.toml",
            "features": {},
            "dependencies": [
                dependency("serde", Value::Null),
                dependency("cc", json!("build")),
                dependency("tokio", json!("dev")),
            ],
        }]});
        let packages = packages(&metadata, Path::new("repo")).unwrap();
        assert_eq!(packages[0].manifest, "crates/core/Cargo.toml");
        assert_eq!(packages[0].dependencies, ["cc", "serde"].map(str::to_owned).into());
    }
}
