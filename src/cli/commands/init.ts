export async function initCommand() {}
