//! The versions of a plugin, and rollback: the host writes the files of a stored version into the watched folder.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};

use super::plugins::written;
use crate::{
    app::App,
    blocking::blocking,
    convert::Params,
    error::{Error, ErrorStatus},
    folder::{Files, Restored},
    gate::AdminPrincipal,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{ListPluginVersionsResponse, Plugin, PluginFile, PluginVersion, RollbackRequest};
use switchbox_model::PluginName;

pub(crate) async fn versions(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult<ListPluginVersionsResponse> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let versions = app.handles.plugins.versions(&name).await;
    if versions.is_empty() && app.handles.plugins.get(&name).await.is_none() {
        return Err(Error::not_found(format!("plugin {name}")));
    }
    Ok(Json(ListPluginVersionsResponse { versions }))
}

pub(crate) async fn component(
    State(app): State<App>,
    Path((name, number)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Error> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let versions = app.handles.plugins.versions(&name).await;
    let version = find(&versions, &number).ok_or_else(|| Error::not_found(format!("version {number} of {name}")))?;
    let bytes = kept(&app, &name, version).await?;
    Ok(([(header::CONTENT_TYPE, "application/wasm")], bytes).into_response())
}

pub(crate) async fn rollback(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
    Body(request): Body<RollbackRequest>,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let view = app.handles.plugins.get(&name).await.ok_or_else(|| Error::not_found(format!("plugin {name}")))?;
    let versions = app.handles.plugins.versions(&name).await;
    let to = match &request.to {
        Some(to) => find(&versions, to).ok_or_else(|| Error::not_found(format!("version {to} of {name}")))?,
        None => {
            let before = versions.iter().find(|version| !version.in_force && version.rolled_back.is_none());
            before.ok_or_else(|| {
                refused(format!(
                    "no other version of {name} has run before on this host, except for those that failed their guard"
                ))
            })?
        }
    };
    let restored = Restoring::new(&app, &name, to).await?;
    // After its guard rolled a version back, the plugin's files still have that version.
    if to.in_force && restored.is_in_folder() {
        return Err(refused(format!("version {} of {name} is in force already", to.number)));
    }
    app.handles.plugins.check_rollback(&name, to).map_err(|why| {
        refused(format!("version {} of {name} keeps its state in schema {}: {why}", to.number, to.state_schema))
    })?;
    let component = restored.component(&app, &view).await?;
    let file = blocking({
        let (folder, name, settings) = (app.folder.by(&caller), name.clone(), to.settings.clone());
        move || folder.put_version(&name, component.as_ref(), &settings)
    })
    .await?;
    Ok(Json(PluginFile { version: Some(to.number), ..written(&name, &file) }))
}

/// A version that is to be restored, and the plugin's files as they are.
struct Restoring<'a> {
    name: &'a PluginName,
    to: &'a PluginVersion,
    files: Files,
    /// The rule in JavaScript that the version was made of, if it is one and is kept.
    script: Option<Vec<u8>>,
}

impl<'a> Restoring<'a> {
    async fn new(app: &App, name: &'a PluginName, to: &'a PluginVersion) -> Result<Self, Error> {
        let script = if to.component == format!("{name}.js") {
            let script = app.handles.plugins.version_script(name, to.number).await;
            script.map_err(|error| Error::new(ErrorStatus::Internal, error.to_string()))?
        } else {
            None
        };
        let (folder, plugin) = (app.folder.clone(), name.clone());
        let files = blocking(move || folder.files(&plugin)).await?;
        Ok(Self { name, to, files, script })
    }

    /// Whether the version is made of the plugin's own file with this ending.
    fn is_of(&self, ending: &str) -> bool {
        self.to.component == format!("{}.{ending}", self.name)
    }

    fn has_component(&self) -> bool {
        self.files.component.as_ref() == Some(&self.to.digest)
    }

    /// A component would run instead of the rule.
    fn has_script(&self, script: &[u8]) -> bool {
        self.files.component.is_none() && self.files.script.as_deref() == Some(script)
    }

    /// Whether the files are those of the version, as far as it is known.
    fn is_in_folder(&self) -> bool {
        let own = !self.is_of("wasm") || self.has_component();
        let rule = self.script.as_ref().is_none_or(|script| self.has_script(script));
        own && rule && self.files.settings == self.to.settings.as_bytes()
    }

    /// The component that has to be written. Returns `None` if the existing one stays.
    async fn component(self, app: &App, view: &Plugin) -> Result<Option<Restored>, Error> {
        let (name, to) = (self.name, self.to);
        let runs = to.digest == view.digest && to.component == file_name(&view.component);
        if self.is_of("wasm") {
            let stays = self.has_component();
            return if stays { Ok(None) } else { kept(app, name, to).await.map(Restored::Component).map(Some) };
        }
        if let Some(script) = &self.script {
            return Ok((!self.has_script(script)).then(|| Restored::Script(script.clone())));
        }
        // The settings name a built-in, which is what this version of the host has, or another file.
        if runs || to.component.starts_with("builtin:") {
            return Ok(None);
        }
        if self.is_of("js") {
            return Err(refused(format!("the rule of version {} of {name} is not kept any more", to.number)));
        }
        // Another file may also be the component of other plugins.
        Err(refused(format!(
            "the component of version {} is {} as it was then; only one of the plugin's own, {name}.wasm or {name}.js, can be brought back",
            to.number, to.component
        )))
    }
}

async fn kept(app: &App, name: &PluginName, version: &PluginVersion) -> Result<Vec<u8>, Error> {
    let bytes = app.handles.plugins.version_component(name, version.number).await;
    let bytes = bytes.map_err(|error| Error::new(ErrorStatus::Internal, error.to_string()))?;
    bytes.ok_or_else(|| refused(format!("the component of version {} of {name} is not kept any more", version.number)))
}

fn find<'a>(versions: &'a [PluginVersion], to: &str) -> Option<&'a PluginVersion> {
    if let Ok(number) = to.parse::<u64>() {
        return versions.iter().find(|version| version.number == number);
    }
    let hex = to.strip_prefix("sha256:").unwrap_or(to);
    let named = |version: &&PluginVersion| version.digest.trim_start_matches("sha256:").starts_with(hex);
    if hex.len() < DIGEST_SIGNS { None } else { versions.iter().find(named) }
}

/// The shortest prefix of a digest that names a version.
const DIGEST_SIGNS: usize = 6;

fn file_name(component: &str) -> &str {
    component.rsplit('/').next().unwrap_or(component)
}

fn refused(text: String) -> Error {
    Error::new(ErrorStatus::FailedPrecondition, text)
}
