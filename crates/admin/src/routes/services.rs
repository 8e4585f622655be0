//! Accounts of programs that are no devices.

use super::call::{Call, delete, get, json, patch, post, verb};
use crate::handlers::services;
use switchbox_admin_api::{DeviceCredential, ListServiceAccountsResponse, ServiceAccount, SetPasswordRequest};

const SERVICES: &str = "/v1/serviceAccounts";
const SERVICE: &str = "/v1/serviceAccounts/{name}";

pub(super) fn calls() -> Vec<Call> {
    vec![
        get(SERVICES, services::list)
            .says("All service accounts, in order of their names")
            .params(&["pageSize", "pageToken"])
            .answers(json::<ListServiceAccountsResponse>()),
        post(SERVICES, services::create)
            .says("Creates an account for a program, with the topics that it may use")
            .takes(json::<ServiceAccount>())
            .answers(json::<ServiceAccount>()),
        get(SERVICE, services::get).says("A service account").answers(json::<ServiceAccount>()),
        patch(SERVICE, services::patch)
            .says("Changes the fields that the mask names; connections end if its lists change")
            .params(&["updateMask"])
            .takes_if_match()
            .takes(json::<ServiceAccount>())
            .answers(json::<ServiceAccount>()),
        delete(SERVICE, services::delete).says("Deletes an account; its connections end").takes_if_match(),
        verb(SERVICE, "addCredential", services::add_credential)
            .says("Adds a public key or certificate")
            .takes_if_match()
            .takes(json::<DeviceCredential>())
            .answers(json::<ServiceAccount>()),
        verb(SERVICE, "removeCredential", services::remove_credential)
            .says("Removes a public key or certificate; connections that used it end")
            .takes_if_match()
            .takes(json::<DeviceCredential>())
            .answers(json::<ServiceAccount>()),
        verb(SERVICE, "setPassword", services::set_password)
            .says("Sets or removes the account's password")
            .takes_if_match()
            .takes(json::<SetPasswordRequest>()),
    ]
}
