// Names of registries and devices in addresses of the API and of this page.

export const DEFAULT = "projects/local/locations/local/registries/default";

/// The registry and the id in a device's name, in its short form or in full.
export function parts(name) {
    const at = name.startsWith("projects/") ? name.lastIndexOf("/devices/") : -1;
    return at < 0 ? { registry: DEFAULT, id: name } : { registry: name.slice(0, at), id: name.slice(at + "/devices/".length) };
}

/// The short form: without a registry if it is the default one.
export function short(name) {
    const { registry, id } = parts(name);
    return registry === DEFAULT ? id : name;
}

/// The name of another device of the same registry.
export function beside(name, id) {
    const { registry } = parts(name);
    return registry === DEFAULT ? id : `${registry}/devices/${id}`;
}

const encoded = (path) => path.split("/").map(encodeURIComponent).join("/");

export function devicePath(name, rest = "") {
    const { registry, id } = parts(name);
    return `/v1/${encoded(registry)}/devices/${encodeURIComponent(id)}${rest}`;
}

export const registryPath = (registry, rest = "") => `/v1/${encoded(registry)}${rest}`;

/// An address of this page: `#/page/object?with=filters`. Empty parts are left out.
export function link(page, what, query = {}) {
    const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
    const tail = params.toString();
    return `#/${page}${what ? `/${encodeURIComponent(what)}` : ""}${tail ? `?${tail}` : ""}`;
}
