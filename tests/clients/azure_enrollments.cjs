// Azure's own SDK for programs of the provisioning service, for Node: `azure_enrollments.cjs CONNECTION_STRING CERTIFICATE`. Nothing but the
// connection string and the authority (NODE_EXTRA_CA_CERTS) is changed. The first thing that is not as it should be ends it with code 1.
'use strict';

const assert = require('assert');
const fs = require('fs');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');

const ok = (what) => console.log(`ok ${what}`);
const keys = { type: 'symmetricKey' };

async function refused(status, call) {
  try {
    await call();
  } catch (error) {
    assert.strictEqual(error.response?.statusCode, status, `${error.message}`);
    return;
  }
  assert.fail('it was not refused');
}

// Without a callback of its caller the SDK's promise never ends.
const bulk = (service, mode, enrollments) =>
  new Promise((resolve, reject) => {
    service.runBulkEnrollmentOperation({ mode, enrollments }, (error, result) => (error ? reject(error) : resolve(result)));
  });

async function all(query) {
  const found = [];
  do found.push(...(await query.next(query.continuationToken)).responseBody);
  while (query.hasMoreResults);
  return found;
}

async function main() {
  const [connection, certificate] = process.argv.slice(2);
  const service = ProvisioningServiceClient.fromConnectionString(connection);
  const asked = {
    registrationId: 'maker-17',
    deviceId: 'lamp-1',
    attestation: keys,
    initialTwin: { tags: { room: 'hall' }, properties: { desired: { level: 3 } } },
  };
  const made = (await service.createOrUpdateIndividualEnrollment(asked)).responseBody;
  assert.strictEqual(made.provisioningStatus, 'enabled');
  assert.strictEqual(Buffer.from(made.attestation.symmetricKey.primaryKey, 'base64').length, 32);
  assert.deepStrictEqual(made.initialTwin, asked.initialTwin);
  await refused(409, () => service.createOrUpdateIndividualEnrollment(asked));
  const found = (await service.getIndividualEnrollment('maker-17')).responseBody;
  assert.deepStrictEqual(found.attestation, keys);
  assert.strictEqual(found.etag, made.etag);
  const shown = (await service.getIndividualEnrollmentAttestationMechanism('maker-17')).responseBody;
  assert.deepStrictEqual(shown, made.attestation);
  ok('an individual enrolment is created, and shows its keys where asked');

  const changed = (await service.createOrUpdateIndividualEnrollment({ ...found, provisioningStatus: 'disabled' })).responseBody;
  assert.strictEqual(changed.provisioningStatus, 'disabled');
  assert.deepStrictEqual(changed.attestation, made.attestation);
  await refused(412, () => service.createOrUpdateIndividualEnrollment(found));
  await refused(412, () => service.deleteIndividualEnrollment('maker-17', found.etag));
  await refused(404, () => service.getIndividualEnrollment('nobody'));
  await refused(501, () => service.createOrUpdateIndividualEnrollment({ registrationId: 'tpm-1', attestation: { type: 'tpm', tpm: { endorsementKey: 'a' } } }));
  await refused(501, () => service.createOrUpdateIndividualEnrollment({ registrationId: 'own-1', attestation: keys, allocationPolicy: 'custom' }));
  ok('it is changed where its ETag matches');

  const pem = fs.readFileSync(certificate, 'utf8');
  const signed = { type: 'x509', x509: { signingCertificates: { primary: { certificate: pem } } } };
  const fleet = (await service.createOrUpdateEnrollmentGroup({ enrollmentGroupId: 'fleet', attestation: keys })).responseBody;
  const group = (await service.createOrUpdateEnrollmentGroup({ enrollmentGroupId: 'maker', attestation: signed })).responseBody;
  assert.strictEqual(group.attestation.type, 'x509');
  assert.deepStrictEqual((await service.getEnrollmentGroupAttestationMechanism('fleet')).responseBody, fleet.attestation);
  await refused(400, () => service.createOrUpdateEnrollmentGroup({ enrollmentGroupId: 'none', attestation: { type: 'x509', x509: {} } }));
  await refused(404, () => service.getIndividualEnrollment('fleet'));
  ok('groups are made with keys and with an authority');

  const enrollments = ['maker-1', 'maker-2', 'maker-3'].map((registrationId) => ({ registrationId, attestation: keys }));
  assert.strictEqual((await bulk(service, 'create', enrollments)).isSuccessful, true);
  const again = await bulk(service, 'create', [{ registrationId: 'maker-2', attestation: keys }]);
  assert.deepStrictEqual([again.isSuccessful, again.errors[0].registrationId], [false, 'maker-2']);
  const individual = await all(service.createIndividualEnrollmentQuery({ query: 'SELECT * FROM enrollments' }, 3));
  assert.deepStrictEqual(individual.map((one) => one.registrationId), ['maker-1', 'maker-17', 'maker-2', 'maker-3']);
  const groups = await all(service.createEnrollmentGroupQuery({ query: 'SELECT * FROM enrollmentGroups' }));
  assert.deepStrictEqual(groups.map((one) => one.enrollmentGroupId), ['fleet', 'maker']);
  await refused(501, () => service.createIndividualEnrollmentQuery({ query: "SELECT * FROM enrollments WHERE deviceId = 'a'" }).next());
  ok('many are created and listed');

  await service.deleteIndividualEnrollment(changed);
  await service.deleteEnrollmentGroup('maker');
  await refused(404, () => service.getEnrollmentGroup('maker'));
  await refused(501, () => service.getDeviceRegistrationState('maker-1'));
  ok('they are deleted');
  console.log('done');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
