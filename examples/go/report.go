// Package report says which teams are over their budget: what is tested here.
package report

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	page     = 100
	attempts = 3
)

type team struct {
	Name   string
	Budget *struct {
		Limit json.Number `json:"max_limit"`
		Usage json.Number `json:"current_usage"`
	}
}

// OverBudget returns a line for each team that has used more than its budget.
func OverBudget(url, apiKey string, timeout time.Duration) ([]string, error) {
	lines := []string{}
	for read := 0; ; {
		var answer struct {
			Teams      []team
			TotalCount int `json:"total_count"`
		}
		path := fmt.Sprintf("/api/governance/teams?limit=%d&offset=%d", page, read)
		if err := get(url+path, apiKey, timeout, &answer); err != nil {
			return nil, err
		}
		for _, each := range answer.Teams {
			if line := each.line(); line != "" {
				lines = append(lines, line)
			}
		}
		if read += len(answer.Teams); read >= answer.TotalCount {
			return lines, nil
		}
	}
}

func (t team) line() string {
	if t.Budget == nil {
		return ""
	}
	usage, _ := t.Budget.Usage.Float64()
	limit, _ := t.Budget.Limit.Float64()
	if usage <= limit {
		return ""
	}
	return fmt.Sprintf("%s: %s of %s", t.Name, t.Budget.Usage, t.Budget.Limit)
}

func get(url, apiKey string, timeout time.Duration, answer any) error {
	client := http.Client{Timeout: timeout}
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+apiKey)
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		if response.StatusCode == http.StatusOK {
			err = json.NewDecoder(response.Body).Decode(answer)
			response.Body.Close()
			return err
		}
		response.Body.Close()
		again := response.StatusCode == http.StatusServiceUnavailable
		if !again || attempt == attempts {
			return fmt.Errorf("answered %d", response.StatusCode)
		}
	}
}
