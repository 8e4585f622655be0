//! What wit-bindgen makes of `wit/migration.wit`, in a world of its own: only plugins that migrate their state export it. Nothing but the
//! generated code.
#![allow(unsafe_code, reason = "the canonical ABI passes pointers between the guest and the host")]
#![allow(unreachable_pub, clippy::all, clippy::restriction, missing_docs, reason = "generated code")]

wit_bindgen::generate!({
    path: "../wit",
    inline: "
        package switchbox:sdk;

        world migration {
            export switchbox:plugin/migration@0.1.0;
        }
    ",
    world: "switchbox:sdk/migration",
    pub_export_macro: true,
    export_macro_name: "export_migration",
    generate_all,
});
