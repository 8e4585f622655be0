// Converts payloads between base64, text and JSON. Bytes that are not text are shown as bytes.

export function bytes(base64) {
    const binary = atob((base64 ?? "").replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

export function encode(text) {
    const utf8 = new TextEncoder().encode(text);
    let binary = "";
    for (const byte of utf8) binary += String.fromCharCode(byte);
    return btoa(binary);
}

/// The bytes of a file in base64.
export function fileBase64(file) {
    return new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
        reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
        reader.readAsDataURL(file);
    });
}

/// `{kind: "empty" | "json" | "text" | "bytes", text, size}`; JSON is written with indents if `pretty`.
export function decode(base64, pretty = false) {
    const raw = bytes(base64);
    if (raw.length === 0) return { kind: "empty", text: "", size: 0 };
    let text;
    try {
        text = new TextDecoder("utf-8", { fatal: true }).decode(raw);
    } catch {
        const hex = Array.from(raw.subarray(0, 256), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
        return { kind: "bytes", text: hex + (raw.length > 256 ? " …" : ""), size: raw.length };
    }
    if (!/^\s*[[{"\d\-tfn]/.test(text)) return { kind: "text", text, size: raw.length };
    try {
        const value = JSON.parse(text);
        // Numbers that this language cannot hold stay as the device wrote them.
        const exact = !/\d{16}|\d[eE]/.test(text);
        return { kind: "json", text: pretty && exact ? JSON.stringify(value, null, 2) : text, size: raw.length };
    } catch {
        return { kind: "text", text, size: raw.length };
    }
}
