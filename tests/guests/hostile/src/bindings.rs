//! What the guest imports and exports, from the plugin interface itself.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

/// As much of WASI's HTTP as a request needs. The target's own library has all of it, so the error has all cases.
pub mod http {
    wit_bindgen::generate!({
        inline: "
            package test:hostile;

            world http {
                import wasi:http/types@0.2.3;
                import wasi:http/outgoing-handler@0.2.3;
            }

            package wasi:http@0.2.3 {
                interface types {
                    record DNS-error-payload {
                        rcode: option<string>,
                        info-code: option<u16>,
                    }
                    record TLS-alert-received-payload {
                        alert-id: option<u8>,
                        alert-message: option<string>,
                    }
                    record field-size-payload {
                        field-name: option<string>,
                        field-size: option<u32>,
                    }
                    variant error-code {
                        DNS-timeout,
                        DNS-error(DNS-error-payload),
                        destination-not-found,
                        destination-unavailable,
                        destination-IP-prohibited,
                        destination-IP-unroutable,
                        connection-refused,
                        connection-terminated,
                        connection-timeout,
                        connection-read-timeout,
                        connection-write-timeout,
                        connection-limit-reached,
                        TLS-protocol-error,
                        TLS-certificate-error,
                        TLS-alert-received(TLS-alert-received-payload),
                        HTTP-request-denied,
                        HTTP-request-length-required,
                        HTTP-request-body-size(option<u64>),
                        HTTP-request-method-invalid,
                        HTTP-request-URI-invalid,
                        HTTP-request-URI-too-long,
                        HTTP-request-header-section-size(option<u32>),
                        HTTP-request-header-size(option<field-size-payload>),
                        HTTP-request-trailer-section-size(option<u32>),
                        HTTP-request-trailer-size(field-size-payload),
                        HTTP-response-incomplete,
                        HTTP-response-header-section-size(option<u32>),
                        HTTP-response-header-size(field-size-payload),
                        HTTP-response-body-size(option<u64>),
                        HTTP-response-trailer-section-size(option<u32>),
                        HTTP-response-trailer-size(field-size-payload),
                        HTTP-response-transfer-coding(option<string>),
                        HTTP-response-content-coding(option<string>),
                        HTTP-response-timeout,
                        HTTP-upgrade-failed,
                        HTTP-protocol-error,
                        loop-detected,
                        configuration-error,
                        internal-error(option<string>),
                    }
                    resource fields {
                        constructor();
                    }
                    type status-code = u16;
                    variant method {
                        get,
                        head,
                        post,
                        put,
                        delete,
                        connect,
                        options,
                        trace,
                        patch,
                        other(string),
                    }
                    resource outgoing-response {
                        constructor(headers: fields);
                        status-code: func() -> status-code;
                    }
                    resource outgoing-request {
                        constructor(headers: fields);
                        method: func() -> method;
                        set-authority: func(authority: option<string>) -> result;
                    }
                    resource request-options {
                        constructor();
                    }
                    resource future-incoming-response {
                    }
                }

                interface outgoing-handler {
                    use types.{outgoing-request, request-options, future-incoming-response, error-code};

                    handle: func(request: outgoing-request, options: option<request-options>)
                        -> result<future-incoming-response, error-code>;
                }
            }
        ",
        world: "test:hostile/http",
        generate_all,
    });
}
