package report

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const patient = 10 * time.Second

func TestATeamOverItsBudgetIsReported(t *testing.T) {
	governance.reset(t)
	governance.load(t, `{"teams": [
		{"name": "Red", "budget": {"max_limit": 100, "current_usage": 120, "reset_duration": "1M"}},
		{"name": "Blue", "budget": {"max_limit": 100, "reset_duration": "1M"}}
	]}`)

	lines, err := OverBudget(governance.URL, governance.APIKey, patient)

	if want := []string{"Red: 120 of 100"}; err != nil || !reflect.DeepEqual(lines, want) {
		t.Fatal(lines, err)
	}
}

func TestAllPagesAreRead(t *testing.T) {
	governance.reset(t)
	names := []string{}
	for number := range make([]struct{}, 250) {
		names = append(names, fmt.Sprintf(`{"name": "Team %d"}`, number))
	}
	governance.load(t, `{"teams": [`+strings.Join(names, ",")+`]}`)

	if _, err := OverBudget(governance.URL, governance.APIKey, patient); err != nil {
		t.Fatal(err)
	}

	queries := []string{}
	for _, each := range governance.requests(t) {
		queries = append(queries, each.Query)
	}
	want := []string{"limit=100&offset=0", "limit=100&offset=100", "limit=100&offset=200"}
	if !reflect.DeepEqual(queries, want) {
		t.Fatal(queries)
	}
}

func TestItAsksAgainWhileTheDatabaseIsUnavailable(t *testing.T) {
	governance.reset(t)
	governance.fault(t, `{"status": 503, "times": 2}`)

	_, err := OverBudget(governance.URL, governance.APIKey, patient)

	if asked := len(governance.requests(t)); err != nil || asked != 3 {
		t.Fatal(asked, err)
	}
}

func TestItDoesNotAskAgainWithAWrongKey(t *testing.T) {
	governance.reset(t)

	_, err := OverBudget(governance.URL, "bfst-"+strings.Repeat("x", 44), patient)

	if asked := len(governance.requests(t)); err == nil || asked != 1 {
		t.Fatal(asked, err)
	}
}

func TestASlowAnswerIsNotWaitedFor(t *testing.T) {
	governance.reset(t)
	governance.fault(t, `{"delay": 5, "times": 1}`)

	if _, err := OverBudget(governance.URL, governance.APIKey, 100*time.Millisecond); err == nil {
		t.Fatal("it was waited for")
	}
}

func TestHalfAnAnswerIsNoAnswer(t *testing.T) {
	governance.reset(t)
	governance.fault(t, `{"cut": true, "times": 1}`)

	if lines, err := OverBudget(governance.URL, governance.APIKey, patient); err == nil {
		t.Fatal(lines)
	}
}

func TestAVirtualKeyReportsItsOwnTeam(t *testing.T) {
	governance.reset(t)
	governance.load(t, `{"teams": [
		{"name": "Red", "budget": {"max_limit": 1, "current_usage": 2, "reset_duration": "1M"},
			"virtual_keys": [{"id": "key", "name": "key"}]},
		{"name": "Blue", "budget": {"max_limit": 1, "current_usage": 2, "reset_duration": "1M"}}
	]}`)

	lines, err := OverBudget(governance.URL, governance.token(t, "key"), patient)

	if want := []string{"Red: 2 of 1"}; err != nil || !reflect.DeepEqual(lines, want) {
		t.Fatal(lines, err)
	}
}
