// What goes wrong and changes nothing for the caller, told to the application.

/** Calls `onError`; what that throws must not become an error of the call that reports. */
export function createReport(onError: (error: unknown) => void): (error: unknown) => void {
  return (error) => {
    try {
      onError(error)
    } catch {
      // The application's own.
    }
  }
}
