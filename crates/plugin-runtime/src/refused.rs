//! WASI interfaces that tool chains of other languages import whether a program uses them or not, and of which plugins get nothing:
//! sockets and HTTP. Each of their functions is linked to an answer that is made of its type, mostly the interface's own error; a value
//! that says nothing where it has none. None does anything, and none has an implementation of its own, so that each 0.2 of these
//! interfaces loads.

use std::collections::HashSet;

use wasmtime::{
    StoreContextMut,
    component::{
        Component, Linker, LinkerInstance, Resource, ResourceAny, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentInstance, ComponentItem, Field},
    },
};

use super::{sandbox::StoreData, surface::is_refused};

/// The cases of the interfaces' errors that say: you may not.
const DENIALS: &[&str] = &["access-denied", "HTTP-request-denied"];

/// A resource of these interfaces, such as a request that is being put together. It holds nothing.
struct Nothing;

/// Links the interfaces of this kind that the component imports.
pub(super) fn link(linker: &mut Linker<StoreData>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine().clone();
    let ty = component.component_type();
    // A resource is defined where it is imported first; a later interface that has it uses that one.
    let mut defined = Vec::new();
    for (name, import) in ty.imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        let resources = new_resources(&engine, &interface, &mut defined);
        if is_refused(name) {
            interface_of(&mut linker.instance(name)?, &engine, &interface, &resources, name)?;
        }
    }
    Ok(())
}

/// The names of the resources that this interface is the first to have.
fn new_resources(
    engine: &wasmtime::Engine,
    interface: &ComponentInstance,
    defined: &mut Vec<ResourceType>,
) -> HashSet<String> {
    let mut new = HashSet::new();
    for (name, item) in interface.exports(engine) {
        let ComponentItem::Resource(resource) = item.ty else { continue };
        if !defined.contains(&resource) {
            defined.push(resource);
            new.insert(name.to_owned());
        }
    }
    new
}

fn interface_of(
    linker: &mut LinkerInstance<'_, StoreData>,
    engine: &wasmtime::Engine,
    interface: &ComponentInstance,
    resources: &HashSet<String>,
    interface_name: &str,
) -> wasmtime::Result<()> {
    for (name, item) in interface.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let called = format!("{interface_name}#{name}");
                linker.func_new_async(name, move |mut store, ty, params, results| {
                    let called = called.clone();
                    Box::new(async move {
                        let answer = answer(&mut store, &ty, &called);
                        give_back(store, params).await?;
                        if let (Some(result), Some(answer)) = (results.first_mut(), answer?) {
                            *result = answer;
                        }
                        Ok(())
                    })
                })?;
            }
            ComponentItem::Resource(_) if resources.contains(name) => {
                linker.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Ends the handles that the guest passed, as the host has to.
async fn give_back(mut store: StoreContextMut<'_, StoreData>, params: &[Val]) -> wasmtime::Result<()> {
    let mut handles = Vec::new();
    params.iter().for_each(|param| handles_in(param, &mut handles));
    for handle in handles {
        handle.resource_drop_async(&mut store).await?;
    }
    Ok(())
}

/// Handles are in options at most: no function of these interfaces takes a list of them.
fn handles_in(value: &Val, handles: &mut Vec<ResourceAny>) {
    match value {
        Val::Resource(handle) => handles.push(*handle),
        Val::Option(Some(inner)) | Val::Result(Ok(Some(inner)) | Err(Some(inner))) => handles_in(inner, handles),
        _ => {}
    }
}

/// What the function returns; `None` if it returns nothing.
fn answer(
    store: &mut StoreContextMut<'_, StoreData>,
    ty: &ComponentFunc,
    called: &str,
) -> wasmtime::Result<Option<Val>> {
    let Some(result) = ty.results().next() else { return Ok(None) };
    let answer = match &result {
        Type::Own(resource) => nothing(store, *resource)?,
        Type::Result(result) => match (result.err().as_ref().and_then(denial), result.ok()) {
            (Some(denied), _) => Some(Val::Result(Err(Some(Box::new(denied))))),
            // A part of a request that will be refused as a whole.
            (None, None) => Some(Val::Result(Ok(None))),
            (None, Some(ok)) => match &ok {
                Type::Own(resource) => nothing(store, *resource)?.map(|made| Val::Result(Ok(Some(Box::new(made))))),
                _ => None,
            }
            .or_else(|| {
                let error = result.err().as_ref().map(plain);
                Some(Val::Result(Err(match error {
                    Some(error) => Some(Box::new(error?)),
                    None => None,
                })))
            }),
        },
        other => plain(other),
    };
    answer.map(Some).ok_or_else(|| wasmtime::format_err!("plugins may not call {called}"))
}

/// A value that says nothing, for a function without an error of its own: the first case, 0, an empty text. `None` for a handle or
/// anything that holds one.
fn plain(ty: &Type) -> Option<Val> {
    Some(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char('\0'),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Enum(cases) => Val::Enum(cases.names().next()?.to_owned()),
        Type::Variant(cases) => {
            let case = cases.cases().next()?;
            let value = match &case.ty {
                Some(ty) => Some(Box::new(plain(ty)?)),
                None => None,
            };
            Val::Variant(case.name.to_owned(), value)
        }
        Type::Record(fields) => {
            let field = |field: Field<'_>| Some((field.name.to_owned(), plain(&field.ty)?));
            Val::Record(fields.fields().map(field).collect::<Option<_>>()?)
        }
        Type::Tuple(types) => Val::Tuple(types.types().map(|ty| plain(&ty)).collect::<Option<_>>()?),
        _ => return None,
    })
}

/// The error that says that this is not allowed.
fn denial(error: &Type) -> Option<Val> {
    match error {
        Type::Enum(cases) => {
            let name = cases.names().find(|name| DENIALS.contains(name))?;
            Some(Val::Enum(name.to_owned()))
        }
        Type::Variant(cases) => {
            let case = cases.cases().find(|case| case.ty.is_none() && DENIALS.contains(&case.name))?;
            Some(Val::Variant(case.name.to_owned(), None))
        }
        _ => None,
    }
}

/// A new handle; `None` for a resource of an interface that is not refused.
fn nothing(store: &mut StoreContextMut<'_, StoreData>, resource: ResourceType) -> wasmtime::Result<Option<Val>> {
    if resource != ResourceType::host::<Nothing>() {
        return Ok(None);
    }
    let made = Resource::<Nothing>::new_own(0);
    Ok(Some(Val::Resource(ResourceAny::try_from_resource(made, store)?)))
}
