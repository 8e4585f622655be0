//! Attacks with forged credentials.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use switchbox_auth::signing::SigningKey;
use switchbox_azure::{Policy, sas};

use super::{Attack, Login, RSA_PUBLIC, Row, Target, now, row};

pub(super) const ROWS: &[Row] = &[
    row("forged-token", "signs the other device's token with its own key", |attack| {
        let mut broken = attack.target.healthy_token.clone();
        broken.truncate(broken.len() - 6);
        let claims = claims("local", now(), now() + 600);
        tried(attack, "healthy", &[attack.target.device_token.clone(), broken, unsigned("ES256", &claims)]);
    }),
    row("expired-token", "shows tokens that expired, are not valid yet, or are valid too long", |attack| {
        let sign = |from, to| token(attack.target.key(), "local", from, to);
        let now = now();
        tried(
            attack,
            "mallory",
            &[sign(now - 7_200, now - 3_600), sign(now + 3_600, now + 7_200), sign(now, now + 90_000)],
        );
    }),
    row("alg-none", "says that its token needs no signature", |attack| {
        let claims = claims("local", now(), now() + 600);
        let none = ["none", "None", "NONE", "nOnE", ""].map(|algorithm| unsigned(algorithm, &claims));
        tried(attack, "healthy", &none);
    }),
    row("key-confusion", "signs with HMAC and the public key as the secret (RS256/HS256)", |attack| {
        let claims = claims("local", now(), now() + 600);
        let pem = RSA_PUBLIC.as_bytes();
        let der: String = RSA_PUBLIC.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(der).expect("no key");
        let tokens = [("HS256", pem), ("RS256", pem), ("ES256", pem), ("HS256", &der[..]), ("HS256", b"")];
        tried(attack, "confused", &tokens.map(|(algorithm, secret)| with_hmac(algorithm, &claims, secret)));
    }),
    row("wrong-audience", "shows a token of its own that is for another host", |attack| {
        let sign = |audience| token(attack.target.key(), audience, now(), now() + 600);
        tried(attack, "mallory", &["other", "", "Local", "serviceAccounts/eve", "local,other"].map(sign));
    }),
    row("another's-token", "shows a good token under other names", |attack| {
        let valid = &attack.target.device_token;
        while attack.continues() {
            for id in ["healthy", "confused", "default/healthy", "nobody", "mallory/../healthy", "Mallory"] {
                attack.target.refuses(&Login::with_password(id, valid), "with another's token");
            }
            let eve = Login { user: "serviceAccounts/eve".into(), ..Login::with_password("x", valid) };
            attack.target.refuses(&eve, "as an account with a device's token");
        }
    }),
    row("monstrous-tokens", "shows tokens of dots, of nested JSON, of numbers without end", |attack| {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let nested = encode(&"[".repeat(2_000));
        let endless = encode(&format!("{{\"exp\":{}}}", "9".repeat(3_000)));
        let header = encode("{\"alg\":\"ES256\"}");
        let monsters = [
            ".".repeat(6_000),
            "..".into(),
            format!("{nested}.{nested}.x"),
            format!("{header}.{nested}.AAAA"),
            format!("{header}.{endless}.AAAA"),
            format!("{header}.{}.AAAA", encode("{\"exp\":1e999,\"iat\":-1,\"aud\":[[]]}")),
            format!("{header}.{header}.{}", "A".repeat(4_000)),
        ];
        tried(attack, "mallory", &monsters);
    }),
    row("replayed-sas", "replays shared access signatures, as another kind of hub takes them", |attack| {
        let sas = |sr: &str| format!("SharedAccessSignature sr={sr}&sig=TWFsbG9yeQ%3d%3d&se={}", now() + 600);
        tried(attack, "mallory", &[sas("hub.example%2fdevices%2fmallory"), sas("%2a"), sas("../../x")]);
    }),
    row("sas-forgeries", "forges shared access signatures, of devices and of policies", |attack| {
        let user = |id: &str| format!("hub.example/{id}/?api-version=2021-04-12");
        let forged = |sr: &str, policy| sas::sign(sr, b"a key of my own", now() + 600, policy);
        let tokens = [
            forged("hub.example/devices/healthy", None),
            forged("hub.example", Some(Policy::Owner)),
            forged("hub.example/devices", Some(Policy::Device)),
            forged("hub.example/devices/healthy/../mallory", None),
            format!("SharedAccessSignature sr=hub.example%2Fdevices%2Fhealthy&sig=&se={}", now() + 600),
            format!(
                "SharedAccessSignature sr=hub.example%2Fdevices%2Fhealthy&sig={}&se={}",
                "A".repeat(2_000),
                u64::MAX
            ),
            format!("SharedAccessSignature {}", "sr=&sig=&se=&skn=".repeat(300)),
            "SharedAccessSignature sr=%ff&sig=%ff&se=99999999999999999999&skn=%ff".to_owned(),
            attack.target.device_token.clone(),
        ];
        while attack.continues() {
            for (id, token) in
                ["healthy", "mallory", "nobody"].iter().flat_map(|id| tokens.iter().map(move |token| (id, token)))
            {
                let head: String = token.chars().take(60).collect();
                let login = Login { user: user(id), ..Login::with_password(id, token) };
                // The device's own token is valid in every dialect.
                if !(*id == "mallory" && *token == attack.target.device_token) {
                    attack.target.refuses(&login, &format!("as {id} with {head}"));
                }
            }
        }
    }),
    row("password-guessing", "guesses passwords of many devices at once", |attack| {
        let mut guess = 0;
        while attack.continues() {
            let mut open = Vec::new();
            for _ in 0..10 {
                guess += 1;
                let login =
                    Login::with_password(["healthy", "mallory", "nobody"][guess % 3], &format!("guess {guess}"));
                open.extend(attack.open(attack.target.mqtt, 1, &login.packet()));
            }
            for conn in &mut open {
                assert!(!conn.is_accepted(), "a guess was right");
            }
        }
    }),
];

impl Target {
    fn key(&self) -> &SigningKey {
        &self.device_key
    }
}

fn token(key: &SigningKey, audience: &str, from: u64, until: u64) -> String {
    key.token(audience, from, until).expect("no token")
}

fn tried(attack: &Attack, id: &str, secrets: &[String]) {
    while attack.continues() {
        for secret in secrets {
            let head: String = secret.chars().take(60).collect();
            attack.target.refuses(&Login::with_password(id, secret), &format!("as {id} with {head}"));
        }
    }
}

fn claims(audience: &str, from: u64, until: u64) -> String {
    format!("{{\"aud\":\"{audience}\",\"iat\":{from},\"exp\":{until}}}")
}

fn head(algorithm: &str, claims: &str) -> String {
    let header = format!("{{\"alg\":\"{algorithm}\",\"typ\":\"JWT\"}}");
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn unsigned(algorithm: &str, claims: &str) -> String {
    format!("{}.", head(algorithm, claims))
}

fn with_hmac(algorithm: &str, claims: &str, secret: &[u8]) -> String {
    let head = head(algorithm, claims);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), head.as_bytes());
    format!("{head}.{}", URL_SAFE_NO_PAD.encode(signature))
}
