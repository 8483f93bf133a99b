//! The files that every page uses. A file's name has a hash of its content, so that browsers
//! keep it until a new version of this program has another one.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// How long a browser may keep a file: a year.
const KEEP: &str = "max-age=31536000, immutable";

/// A file.
pub(super) struct Asset {
    /// Its path.
    pub(super) path: String,
    kind: &'static str,
    content: &'static [u8],
}

/// All files.
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
    pub(super) icon: Asset,
    pub(super) icon_png: Asset,
}

/// The files of this version.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new(
        "page",
        "css",
        "text/css; charset=utf-8",
        include_bytes!("page.css"),
    ),
    script: Asset::new(
        "page",
        "js",
        "text/javascript; charset=utf-8",
        include_bytes!("page.js"),
    ),
    icon: Asset::new("icon", "svg", "image/svg+xml", include_bytes!("icon.svg")),
    icon_png: Asset::new("icon", "png", "image/png", include_bytes!("icon.png")),
});

impl Asset {
    fn new(name: &str, end: &str, kind: &'static str, content: &'static [u8]) -> Self {
        let hash = blake3::hash(content).to_hex();
        let hash = hash.get(..16).unwrap_or_default();
        Self {
            path: format!("/assets/{name}-{hash}.{end}"),
            kind,
            content,
        }
    }
}

/// Answers with a file, or that there is none.
pub(in crate::http) async fn asset(Path(name): Path<String>) -> Response {
    let assets = &*ASSETS;
    let all = [
        &assets.style,
        &assets.script,
        &assets.icon,
        &assets.icon_png,
    ];
    let path = format!("/assets/{name}");
    let Some(asset) = all.into_iter().find(|asset| asset.path == path) else {
        return (StatusCode::NOT_FOUND, "This version has no such file.\n").into_response();
    };
    let headers = [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, KEEP)];
    (headers, asset.content).into_response()
}

/// Answers with what a browser needs to install the page as an application.
pub(in crate::http) async fn manifest() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "application/manifest+json")];
    (headers, manifest_of(&ASSETS).to_string())
}

fn manifest_of(assets: &Assets) -> Value {
    json!({
        "name": "monitor",
        "short_name": "monitor",
        "description": "Which device of this network contacts what, and what the filter stops.",
        "id": "/",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f6f5f1",
        "theme_color": "#15202b",
        "icons": [
            {"src": assets.icon.path, "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
            {"src": assets.icon_png.path, "sizes": "512x512", "type": "image/png", "purpose": "any"},
        ],
    })
}
