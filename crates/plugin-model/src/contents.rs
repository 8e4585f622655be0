//! Counts the items of a component before it is compiled, because compiling takes time and memory for each function and type,
//! however small the file is. Reads the sections in one pass and collects the names of imports and exports.

use wasmparser::{Instance, Parser, Payload};

use super::{error::LoadError, limits::names};
use switchbox_model::limits::{
    COMPONENT_DEPTH, COMPONENT_FUNCTION_BYTES, COMPONENT_FUNCTIONS, COMPONENT_INSTANCES, COMPONENT_ITEMS,
    COMPONENT_MODULES, LimitName,
};

/// Counts of items, over all modules and components inside.
#[derive(Debug, Default)]
struct Counts {
    functions: usize,
    modules: usize,
    /// Types, imports, exports, tables, memories, globals, segments, instances, aliases and canonical functions.
    items: usize,
    depth: usize,
    /// Core modules that are instantiated, each once. One within a component that is itself instantiated more than once counts once here;
    /// the engine counts again.
    instances: usize,
}

/// The names that the component itself imports and exports.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Surface {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// Returns an error if a count is over its limit.
pub fn read(bytes: &[u8]) -> Result<Surface, LoadError> {
    let broken = |error: wasmparser::BinaryReaderError| LoadError::Compile(error.to_string());
    let mut counts = Counts::default();
    let mut surface = Surface::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(broken)?;
        counts.add(&payload)?;
        // The first level is the component itself.
        if counts.depth == 1 {
            surface.add(&payload).map_err(broken)?;
        }
    }
    Ok(surface)
}

/// All checks of the contents, for the fuzz target.
pub fn check_contents(bytes: &[u8]) -> Result<(), LoadError> {
    read(bytes).map(drop)
}

/// The interfaces that a component imports, in order; empty for a file that is not a component.
#[must_use]
pub fn imports(bytes: &[u8]) -> Vec<String> {
    read(bytes).map(|surface| surface.imports).unwrap_or_default()
}

impl Surface {
    fn add(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        match payload {
            Payload::Version { .. } => {
                self.depth += 1;
                self.modules += 1;
                at_most("levels of components within each other", names::COMPONENT_DEPTH, self.depth, COMPONENT_DEPTH)?;
                at_most("modules and components", names::COMPONENT_MODULES, self.modules, COMPONENT_MODULES)?;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CodeSectionStart { count, .. } => {
                self.functions = self.functions.saturating_add(*count as usize);
                at_most("functions", names::COMPONENT_FUNCTIONS, self.functions, COMPONENT_FUNCTIONS)?;
            }
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().len();
                let limit = names::COMPONENT_FUNCTION_BYTES;
                at_most("bytes of code in one function", limit, bytes, COMPONENT_FUNCTION_BYTES)?;
            }
            other => {
                if let Payload::InstanceSection(section) = other {
                    let made =
                        section.clone().into_iter().filter(|made| matches!(made, Ok(Instance::Instantiate { .. })));
                    self.instances = self.instances.saturating_add(made.count());
                    let most = COMPONENT_INSTANCES as usize;
                    at_most("instances of modules", names::COMPONENT_INSTANCES, self.instances, most)?;
                }
                self.items = self.items.saturating_add(items(other));
                at_most(
                    "types, imports, exports and similar items",
                    names::COMPONENT_ITEMS,
                    self.items,
                    COMPONENT_ITEMS,
                )?;
            }
        }
        Ok(())
    }
}

/// The number of items that the section declares.
fn items(payload: &Payload<'_>) -> usize {
    let count = match payload {
        Payload::TypeSection(section) => section.count(),
        Payload::ImportSection(section) => section.count(),
        Payload::TableSection(section) => section.count(),
        Payload::MemorySection(section) => section.count(),
        Payload::TagSection(section) => section.count(),
        Payload::GlobalSection(section) => section.count(),
        Payload::ExportSection(section) => section.count(),
        Payload::ElementSection(section) => section.count(),
        Payload::DataSection(section) => section.count(),
        Payload::InstanceSection(section) => section.count(),
        Payload::CoreTypeSection(section) => section.count(),
        Payload::ComponentInstanceSection(section) => section.count(),
        Payload::ComponentAliasSection(section) => section.count(),
        Payload::ComponentTypeSection(section) => section.count(),
        Payload::ComponentCanonicalSection(section) => section.count(),
        Payload::ComponentImportSection(section) => section.count(),
        Payload::ComponentExportSection(section) => section.count(),
        _ => 0,
    };
    count as usize
}

fn at_most(what: &'static str, limit: LimitName, found: usize, most: usize) -> Result<(), LoadError> {
    if found <= most { Ok(()) } else { Err(LoadError::TooMuch { what, limit, found, most }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An unsigned LEB128.
    fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let byte = (value & 0x7f) as u8;
            value >>= 7;
            bytes.push(if value == 0 { byte } else { byte | 0x80 });
            if value == 0 {
                return bytes;
            }
        }
    }

    fn section(id: u8, count: usize, item: &[u8]) -> Vec<u8> {
        let body = [leb(count), item.repeat(count)].concat();
        [vec![id], leb(body.len()), body].concat()
    }

    fn component(sections: &[Vec<u8>]) -> Vec<u8> {
        [b"\0asm\x0d\0\x01\0".to_vec(), sections.concat()].concat()
    }

    /// A component with a module of these sections.
    fn of_module(sections: &[Vec<u8>]) -> Vec<u8> {
        let module = [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat();
        component(&[[vec![1], leb(module.len()), module].concat()])
    }

    fn functions(count: usize, body: &[u8]) -> Vec<u8> {
        let code = [leb(body.len()), body.to_vec()].concat();
        of_module(&[section(1, 1, &[0x60, 0, 0]), section(3, count, &[0]), section(10, count, &code)])
    }

    /// A component that instantiates one module so often.
    fn instances(count: usize) -> Vec<u8> {
        let module = b"\0asm\x01\0\0\0".to_vec();
        component(&[[vec![1], leb(module.len()), module].concat(), section(2, count, &[0, 0, 0])])
    }

    fn nested(depth: usize) -> Vec<u8> {
        (1..depth).fold(component(&[]), |inner, _| component(&[[vec![4], leb(inner.len()), inner].concat()]))
    }

    #[test]
    fn what_is_too_much_is_refused_by_its_name() {
        let empty = [0, 0x0b];
        let long = |bytes: usize| [vec![0], vec![0x01; bytes - 2], vec![0x0b]].concat();
        for (bytes, limit) in [
            (functions(COMPONENT_FUNCTIONS, &empty), ""),
            (functions(COMPONENT_FUNCTIONS + 1, &empty), "component-functions"),
            (functions(1_000_000, &empty), "component-functions"),
            (functions(1, &long(COMPONENT_FUNCTION_BYTES)), ""),
            (functions(1, &long(COMPONENT_FUNCTION_BYTES + 1)), "component-function-bytes"),
            (of_module(&[section(1, COMPONENT_ITEMS, &[0x60, 0, 0])]), ""),
            (of_module(&[section(1, COMPONENT_ITEMS + 1, &[0x60, 0, 0])]), "component-items"),
            (instances(COMPONENT_INSTANCES as usize), ""),
            (instances(COMPONENT_INSTANCES as usize + 1), "component-instances"),
            (nested(COMPONENT_DEPTH), ""),
            (nested(COMPONENT_DEPTH + 1), "component-depth"),
            (nested(10_000), "component-depth"),
        ] {
            match read(&bytes) {
                Ok(_) => assert_eq!(limit, "", "{} bytes", bytes.len()),
                Err(error) => assert!(error.to_string().contains(&format!("\"{limit}\"")), "{limit}: {error}"),
            }
        }
    }
}
