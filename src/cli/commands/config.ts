export async function configShowCommand() {}
export async function configCheckCommand() {}
