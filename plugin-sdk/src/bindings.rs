//! What wit-bindgen makes of `wit/plugin.wit`. Nothing but the generated code.
#![allow(unsafe_code, reason = "the canonical ABI passes pointers between the guest and the host")]
#![allow(unreachable_pub, clippy::all, clippy::restriction, missing_docs, reason = "generated code")]

wit_bindgen::generate!({
    path: "../wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    additional_derives: [PartialEq],
    generate_all,
});
