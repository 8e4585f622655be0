//! The files of the console, each with its URL path.

use sha2::{Digest as _, Sha256};

/// One file of the console.
#[derive(Debug)]
pub(crate) struct File {
    /// Its URL path.
    pub(crate) path: &'static str,
    pub(crate) bytes: &'static [u8],
}

/// Creates the list of files. Each is served at `/console/` and its path below `assets/`.
macro_rules! files {
    ($($path:literal)*) => {
        &[
            File { path: "/", bytes: include_bytes!("../assets/index.html") },
            $(File { path: concat!("/console/", $path), bytes: include_bytes!(concat!("../assets/", $path)) },)*
        ]
    };
}

pub(crate) const FILES: &[File] = files! {
    "console.css"
    "icon.svg"
    "access.js"
    "api.js"
    "app.js"
    "approvals.js"
    "chart.js"
    "create_device.js"
    "data.js"
    "dead_letters.js"
    "device.js"
    "device_commands.js"
    "device_credentials.js"
    "device_files.js"
    "device_gets.js"
    "device_reach.js"
    "device_twin.js"
    "devices.js"
    "event_row.js"
    "gateways.js"
    "graph.js"
    "html.js"
    "keys.js"
    "live.js"
    "metrics.js"
    "names.js"
    "overview.js"
    "pages.js"
    "parts.js"
    "payload.js"
    "plugin.js"
    "plugin_candidates.js"
    "plugin_diff.js"
    "plugin_settings.js"
    "plugin_state.js"
    "plugin_try.js"
    "plugin_versions.js"
    "plugins.js"
    "route.js"
    "step.js"
    "store.js"
    "stream.js"
    "topics.js"
    "triggers.js"
    "why.js"
    "why_not.js"
    "vendor/LICENSES.txt"
    "vendor/hooks.js"
    "vendor/htm.js"
    "vendor/preact.js"
    "vendor/uplot.css"
    "vendor/uplot.js"
};

impl File {
    pub(crate) fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, ending)| ending) {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("txt") => "text/plain; charset=utf-8",
            _ => "text/html; charset=utf-8",
        }
    }

    /// A hash of its contents.
    pub(crate) fn etag(&self) -> String {
        let digest = Sha256::digest(self.bytes);
        let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{hex}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    /// Maximum size of all files together, uncompressed, in bytes.
    const MAX_BYTES: usize = 300_000;

    fn is_vendored(file: &File) -> bool {
        file.path.contains("/vendor/")
    }

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.bytes).unwrap()
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let (mut folders, mut found) = (vec![root.clone()], BTreeSet::from(["/".to_owned()]));
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("index.html") {
                    found.insert(format!("/console/{}", path.strip_prefix(&root).unwrap().display()));
                }
            }
        }
        let served: BTreeSet<_> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(served, found);
    }

    #[test]
    fn the_files_are_small_together() {
        let bytes: usize = FILES.iter().map(|file| file.bytes.len()).sum();
        assert!(bytes < MAX_BYTES, "{bytes} bytes");
    }

    #[test]
    fn no_file_of_ours_names_another_host() {
        for file in FILES.iter().filter(|file| !is_vendored(file)) {
            let text = text(file).replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://"), "{}", file.path);
        }
    }

    /// The content security policy forbids this too, but here it fails without a browser. `innerHTML` and similar properties parse
    /// text as markup.
    #[test]
    fn no_text_becomes_markup_or_code() {
        const NOT_USED: [&str; 8] = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "dangerouslySetInnerHTML",
            "eval(",
            "new Function",
            "javascript:",
        ];
        for file in FILES.iter().filter(|file| !is_vendored(file)) {
            let found = NOT_USED.iter().find(|word| text(file).contains(**word));
            assert_eq!(found, None, "{}", file.path);
        }
        let page = text(&FILES[0]);
        assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" on"), "{page}");
        assert!(page.matches("<script").count() == page.matches("<script ").count(), "{page}");
    }
}
