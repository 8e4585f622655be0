// Passwords and keys, made in the browser: a private key never leaves it.

const ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";

/// 24 characters, each one of 55.
export function password() {
    const text = [];
    while (text.length < 24) {
        const [byte] = crypto.getRandomValues(new Uint8Array(1));
        if (byte < ALPHABET.length * 4) text.push(ALPHABET[byte % ALPHABET.length]);
    }
    return text.join("");
}

/// Browsers have this API only on pages over TLS or from this machine.
export const canMakeKeys = () => Boolean(crypto.subtle);

const pem = (label, der) => {
    const base64 = btoa(String.fromCharCode(...new Uint8Array(der)));
    return `-----BEGIN ${label}-----\n${base64.match(/.{1,64}/g).join("\n")}\n-----END ${label}-----\n`;
};

/// A pair for ES256.
export async function keyPair() {
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    return {
        publicKey: pem("PUBLIC KEY", await crypto.subtle.exportKey("spki", pair.publicKey)),
        privateKey: pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", pair.privateKey)),
    };
}

/// As the API names them.
export const FORMATS = [["ES256_PEM", "ES256 public key"], ["RSA_PEM", "RSA public key"], ["ES256_X509_PEM", "ES256 certificate"], ["RSA_X509_PEM", "RSA certificate"], ["X509_FINGERPRINT", "fingerprint of a certificate"]];
