// Which teams are over their budget: the program that is tested here.

const PAGE = 100;
const ATTEMPTS = 3;

/** Return a line for each team that has used more than its budget. */
export async function overBudget(url, apiKey, timeout = 10_000) {
  const lines = [];
  for (const { name, budget } of await allTeams(url, apiKey, timeout)) {
    if (budget && budget.current_usage > budget.max_limit) {
      lines.push(`${name}: ${budget.current_usage} of ${budget.max_limit}`);
    }
  }
  return lines;
}

async function allTeams(url, apiKey, timeout) {
  const teams = [];
  for (;;) {
    const path = `/api/governance/teams?limit=${PAGE}&offset=${teams.length}`;
    const page = await get(url + path, apiKey, timeout);
    teams.push(...page.teams);
    if (teams.length >= page.total_count) return teams;
  }
}

async function get(url, apiKey, timeout) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, {
      headers: { Authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(timeout),
    });
    if (response.ok) return response.json();
    await response.body.cancel();
    if (response.status !== 503 || attempt === ATTEMPTS) {
      throw new Error(`answered ${response.status}`);
    }
  }
}
