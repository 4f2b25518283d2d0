package report

// The service for tests: starts it, and asks its control routes.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

type service struct {
	process      *exec.Cmd
	URL          string `json:"url"`
	APIKey       string `json:"api_key"`
	ControlToken string `json:"control_token"`
}

// governance is the service of all tests of this package.
var governance *service

func TestMain(m *testing.M) {
	var err error
	if governance, err = start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	governance.stop()
	os.Exit(status)
}

// start starts the service and returns it once it answers. It is empty.
func start() (*service, error) {
	command := strings.Fields(os.Getenv("GOVERNANCE_LISTS"))
	if len(command) == 0 {
		command = []string{"governance-lists"}
	}
	command = append(command, "serve", "--control", "--port", "0", "--exit-with-parent")
	process := exec.Command(command[0], command[1:]...)
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err = process.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	ready, found := strings.CutPrefix(line, "ready ")
	if err != nil || !found {
		return nil, fmt.Errorf("the service did not start: %s", line)
	}
	started := &service{process: process}
	return started, json.Unmarshal([]byte(ready), started)
}

func (s *service) stop() {
	s.process.Process.Signal(syscall.SIGTERM)
	s.process.Wait()
}

// reset begins anew: no data, no faults, no requests.
func (s *service) reset(t *testing.T) {
	t.Helper()
	s.control(t, "DELETE", "all", "", nil)
}

// load adds what a document says, such as {"teams": [{"name": "Red"}]}.
func (s *service) load(t *testing.T, document string) {
	t.Helper()
	s.control(t, "POST", "data", document, nil)
}

// fault lets something go wrong: {"status": 503, "times": 2}, {"delay": 5} …
func (s *service) fault(t *testing.T, fault string) {
	t.Helper()
	s.control(t, "POST", "faults", fault, nil)
}

type request struct {
	Method, Path, Query string
	Status              int
}

// requests returns the requests since the last reset.
func (s *service) requests(t *testing.T) []request {
	t.Helper()
	var answer struct{ Requests []request }
	s.control(t, "GET", "requests", "", &answer)
	return answer.Requests
}

// token returns the JWT of a virtual key.
func (s *service) token(t *testing.T, virtualKeyID string) string {
	t.Helper()
	var answer struct{ Token string }
	body := fmt.Sprintf(`{"virtual_key_id": %q}`, virtualKeyID)
	s.control(t, "POST", "tokens", body, &answer)
	return answer.Token
}

func (s *service) control(t *testing.T, method, path, body string, answer any) {
	t.Helper()
	url := s.URL + "/_control/" + path
	request, err := http.NewRequest(method, url, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.ControlToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 400 {
		t.Fatalf("%s %s: %v %s", method, path, err, text)
	}
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			t.Fatal(err)
		}
	}
}
