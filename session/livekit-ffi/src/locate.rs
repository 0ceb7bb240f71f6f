//! Where the library may be.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Environment variable with the library's path: the file, or the directory it is in. LiveKit's Python SDK reads the same one.
pub const LIBRARY_PATH_VARIABLE: &str = "LIVEKIT_LIB_PATH";

/// What the library is called on this system: `liblivekit_ffi.so`, `liblivekit_ffi.dylib` or `livekit_ffi.dll`.
pub const fn library_file_name() -> &'static str {
    if cfg!(target_os = "macos") {
        "liblivekit_ffi.dylib"
    } else if cfg!(windows) {
        "livekit_ffi.dll"
    } else {
        "liblivekit_ffi.so"
    }
}

/// The part of the environment that says where the library is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `LIVEKIT_LIB_PATH`.
    pub(crate) library: Option<OsString>,
    /// `VIRTUAL_ENV`.
    pub(crate) virtual_env: Option<OsString>,
    /// `PATH`.
    pub(crate) path: Option<OsString>,
}

impl Surroundings {
    pub(crate) fn of_process() -> Self {
        Self {
            library: std::env::var_os(LIBRARY_PATH_VARIABLE).filter(|v| !v.is_empty()),
            virtual_env: std::env::var_os("VIRTUAL_ENV").filter(|v| !v.is_empty()),
            path: std::env::var_os("PATH"),
        }
    }
}

/// The library's file as [`Client::open`](crate::Client::open) finds it; nothing is opened.
///
/// # Errors
/// [`OpenError::NotFound`](crate::OpenError::NotFound).
pub fn find(path: Option<&Path>) -> Result<PathBuf, crate::OpenError> {
    locate(path, &Surroundings::of_process()).map_err(|tried| crate::OpenError::NotFound { tried })
}

/// The library's file, or the places where it was looked for.
///
/// A path that was given is the only place then, and so is that of the variable: falling back from them would hide a mistake.
pub(crate) fn locate(given: Option<&Path>, around: &Surroundings) -> Result<PathBuf, Vec<PathBuf>> {
    if let Some(path) = given.or(around.library.as_deref().map(Path::new)) {
        let file = if path.is_dir() {
            path.join(library_file_name())
        } else {
            path.to_owned()
        };
        return if file.is_file() {
            Ok(file)
        } else {
            Err(vec![file])
        };
    }
    let mut tried = Vec::new();
    for prefix in prefixes(around) {
        for packages in site_packages(&prefix) {
            let file = packages
                .join("livekit/rtc/resources")
                .join(library_file_name());
            if file.is_file() {
                return Ok(file);
            }
            tried.push(file);
        }
    }
    Err(tried)
}

/// Where the Pythons are installed: `VIRTUAL_ENV`, then those on `PATH`, each as it is called and where its link leads.
fn prefixes(around: &Surroundings) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut add = |prefix: Option<&Path>| {
        if let Some(prefix) = prefix.filter(|p| !found.iter().any(|f| f == p)) {
            found.push(prefix.to_owned());
        }
    };
    add(around.virtual_env.as_deref().map(Path::new));
    let names: &[&str] = if cfg!(windows) {
        &["python.exe", "python3.exe"]
    } else {
        &["python3", "python"]
    };
    let directories: Vec<PathBuf> = around
        .path
        .as_deref()
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    for directory in directories {
        for name in names {
            let python = directory.join(name);
            if !python.is_file() {
                continue;
            }
            // On Windows `python.exe` lies in the prefix itself, or in `Scripts` of a virtual environment.
            if cfg!(windows) {
                add(python.parent());
            }
            add(python.parent().and_then(Path::parent));
            if let Ok(real) = fs::canonicalize(&python) {
                add(real.parent().and_then(Path::parent));
            }
        }
    }
    found
}

/// The directories of one Python's packages.
fn site_packages(prefix: &Path) -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![prefix.join("Lib/site-packages")];
    }
    let mut found = Vec::new();
    // Debian installs its own packages into `lib/python3/dist-packages` and others into `local/lib/python3.x/dist-packages`.
    for base in [prefix.join("lib"), prefix.join("local/lib")] {
        let Ok(entries) = fs::read_dir(&base) else {
            continue;
        };
        let mut versions: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .filter(|e| e.file_name().to_string_lossy().starts_with("python3"))
            .map(|e| e.path())
            .collect();
        versions.sort();
        for version in versions.into_iter().rev() {
            for packages in ["site-packages", "dist-packages"] {
                let packages = version.join(packages);
                if packages.is_dir() {
                    found.push(packages);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("listenkit-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).expect("the temporary directory is writable");
            Self(root)
        }

        fn file(&self, path: &str) -> PathBuf {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("writable");
            fs::write(&path, b"x").expect("writable");
            path
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn wheel(prefix: &str) -> String {
        format!(
            "{prefix}/lib/python3.12/site-packages/livekit/rtc/resources/{}",
            library_file_name()
        )
    }

    #[test]
    fn a_given_path_comes_before_the_variable_and_that_before_a_python() {
        let tree = Tree::new("order");
        let given = tree.file("given/any-name.so");
        let named = tree.file(&format!("named/{}", library_file_name()));
        let venv = tree.file(&wheel("venv"));
        let mut around = Surroundings {
            library: Some(tree.0.join("named").into()),
            virtual_env: Some(tree.0.join("venv").into()),
            path: None,
        };
        assert_eq!(locate(Some(&given), &around), Ok(given));
        assert_eq!(locate(None, &around), Ok(named.clone()), "a directory");
        around.library = Some(named.clone().into());
        assert_eq!(locate(None, &around), Ok(named), "a file");
        around.library = None;
        assert_eq!(locate(None, &around), Ok(venv));
    }

    #[test]
    fn a_wrong_variable_is_not_passed_over() {
        let tree = Tree::new("wrong");
        tree.file(&wheel("venv"));
        let around = Surroundings {
            library: Some(tree.0.join("nothing-here").into()),
            virtual_env: Some(tree.0.join("venv").into()),
            path: None,
        };
        assert_eq!(
            locate(None, &around),
            Err(vec![tree.0.join("nothing-here")])
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_python_on_the_path_is_followed_to_its_packages() {
        let tree = Tree::new("path");
        let python = tree.file("real/bin/python3.12");
        let wheel = tree.file(&wheel("real"));
        fs::create_dir_all(tree.0.join("bin")).expect("writable");
        std::os::unix::fs::symlink(&python, tree.0.join("bin/python3")).expect("writable");
        let around = Surroundings {
            path: Some(tree.0.join("bin").into()),
            ..Surroundings::default()
        };
        let found = locate(None, &around).expect("the wheel is there");
        assert_eq!(found, fs::canonicalize(wheel).expect("it is there"));
    }
}
