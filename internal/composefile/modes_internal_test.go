package composefile

import "testing"

// Whatever the parsed file shows, a look at its text must not have passed over.
func TestALookAtTheTextFindsEveryOddMode(t *testing.T) {
	for _, volume := range []string{
		"./a:/b:r0", "./a:/b:ro,r0", "./a:/b:r0,ro", "a:/my data:r0", "./my data:/b:r0", "/a:/b/c:READONLY", "C:/a:/b:r0", "a:/b:rw:x", "a:/b:1", "a:/b:rslave,x",
	} {
		if unknownMode(volume) == "" {
			t.Errorf("%s has no odd mode", volume)
		}
		for _, line := range []string{"- " + volume, "- \"" + volume + "\"", "volumes: ['" + volume + "']", "volumes: [./x:/y:ro, " + volume + "]", "volumes: [" + volume + ",./x:/y:ro]", "  - " + volume + " # why"} {
			if !oddModes("services:\n" + line + "\n") {
				t.Errorf("it is not seen in %s", line)
			}
		}
	}
	// What is in many files does not have them parsed each time.
	for _, line := range []string{
		"- ./a:/b", "- ./a:/b:ro", "- \"./a:/b:ro,z\"", "volumes: [./x:/y:ro]", "URL: redis://db:6379/0", "test: curl http://localhost:80/", "- ${DATA:-./data}:/data:rw",
		"{type: bind, source: /a, target: /b}", "- 127.0.0.1:8080:80", "- 8080:80", "# see http://x:1", "- a:/b: # nothing",
	} {
		if oddModes(line + "\n") {
			t.Errorf("%s is parsed", line)
		}
	}
}
