// A device on azure-iot-provisioning-device for Node that is registered. Arguments: mqtt, ws or http, the authority's certificate, the host, the ID
// scope, the registration id, the symmetric key. Prints what it is told, one JSON line.
const { readFileSync } = require('fs');
const path = require('path');
const load = (name) => require(path.join(process.env.NODE_CLIENTS, 'node_modules', name));
const { ProvisioningDeviceClient } = load('azure-iot-provisioning-device');
const { SymmetricKeySecurityClient } = load('azure-iot-security-symmetric-key');

const [transport, authority, host, scope, registrationId, key] = process.argv.slice(2);
const transports = {
    mqtt: () => new (load('azure-iot-provisioning-device-mqtt').Mqtt)(),
    ws: () => new (load('azure-iot-provisioning-device-mqtt').MqttWs)(),
    http: () => new (load('azure-iot-provisioning-device-http').Http)(),
};

async function main() {
    const security = new SymmetricKeySecurityClient(registrationId, key);
    const client = ProvisioningDeviceClient.create(host, scope, transports[transport](), security);
    const result = await client.register().catch((error) => ({ error: String(error) }));
    console.log(JSON.stringify({ what: result.error ? 'refused' : 'registered', result }));
    process.exit(0);
}

// It looks at the authorities of Node alone.
if (!process.env.NODE_EXTRA_CA_CERTS) { readFileSync(authority); }
main();
