// Azure's own service SDK for Node against a running host: `azure_service.cjs CONNECTION_STRING`. Nothing but the connection string and
// the authority (NODE_EXTRA_CA_CERTS) is changed. The first thing that is not as it should be ends it with code 1.
'use strict';

const assert = require('assert');
const { Registry } = require('azure-iothub');

const ok = (what) => console.log(`ok ${what}`);

async function refused(name, call) {
  try {
    await call();
  } catch (error) {
    assert.strictEqual(error.constructor.name, name, `${error.constructor.name}: ${error.message}`);
    return;
  }
  assert.fail('it was not refused');
}

async function main() {
  const registry = Registry.fromConnectionString(process.argv[2]);
  const made = (await registry.create({ deviceId: 'door-1' })).responseBody;
  assert.strictEqual(made.status, 'enabled');
  assert.strictEqual(Buffer.from(made.authentication.symmetricKey.primaryKey, 'base64').length, 32);
  await refused('DeviceAlreadyExistsError', () => registry.create({ deviceId: 'door-1' }));
  await refused('DeviceNotFoundError', () => registry.get('nobody'));
  const changed = (await registry.update({ deviceId: 'door-1', status: 'disabled' })).responseBody;
  assert.strictEqual(changed.status, 'disabled');
  assert.deepStrictEqual(changed.authentication.symmetricKey, made.authentication.symmetricKey);
  const all = (await registry.list()).responseBody;
  assert.ok(all.some((device) => device.deviceId === 'door-1'));
  ok('a device is created, changed and listed');

  const many = [1, 2, 3].map((number) => ({ deviceId: `bell-${number}`, status: 'enabled' }));
  assert.ok((await registry.addDevices(many)).responseBody.isSuccessful);
  const disabled = many.map(({ deviceId }) => ({ deviceId, status: 'disabled' }));
  assert.ok((await registry.updateDevices(disabled, true)).responseBody.isSuccessful);
  const { responseBody: bell } = await registry.get('bell-1');
  assert.strictEqual(bell.status, 'disabled');
  assert.ok((await registry.updateDevices([{ ...bell, status: 'enabled' }], false)).responseBody.isSuccessful);
  await refused('ArgumentError', () => registry.updateDevices([bell], false));
  const { responseBody: enabled } = await registry.get('bell-1');
  assert.strictEqual(enabled.status, 'enabled');
  assert.ok((await registry.addDevices([{ deviceId: 'bell-4', status: 'enabled' }, { deviceId: 'bell-5', status: 'enabled' }])).responseBody.isSuccessful);
  assert.ok((await registry.removeDevices([(await registry.get('bell-4')).responseBody], false)).responseBody.isSuccessful);
  assert.ok((await registry.removeDevices([{ deviceId: 'bell-5' }], true)).responseBody.isSuccessful);
  await refused('DeviceNotFoundError', () => registry.get('bell-4'));
  ok('many are created, changed and removed');

  const { responseBody: twin } = await registry.getTwin('door-1');
  await twin.update({ tags: { side: 'north' }, properties: { desired: { locked: true } } });
  assert.strictEqual(twin.tags.side, 'north');
  assert.strictEqual(twin.properties.desired.locked, true);
  await refused('InvalidEtagError', () => registry.updateTwin('door-1', { tags: { side: 'south' } }, twin.etag + 'x'));
  ok('a twin is read and patched');

  const query = registry.createQuery("SELECT * FROM devices WHERE STARTSWITH(deviceId, 'bell')", 2);
  const found = [];
  while (query.hasMoreResults) {
    for (const item of (await query.nextAsTwin()).result) found.push(item.deviceId);
  }
  assert.deepStrictEqual(found, ['bell-1', 'bell-2', 'bell-3']);
  ok('devices are found, page by page');

  const counts = (await registry.getRegistryStatistics()).responseBody;
  // door-1, and the two bells that were not enabled again.
  assert.strictEqual(counts.disabledDeviceCount, 3);
  await refused('Error', () => registry.getConfigurations());
  await registry.delete('door-1');
  await refused('DeviceNotFoundError', () => registry.getTwin('door-1'));
  ok('a device is deleted');
  console.log('done');
}

main().catch((error) => {
  console.log(error);
  process.exit(1);
});
