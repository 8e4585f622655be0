//! What the guest imports and exports, from the plugin interface itself.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });
