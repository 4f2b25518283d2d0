"""The words and numbers of generated data, and the choices of a seed."""

import random
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")

MINUTE = 60 * 10**9  # times are in nanoseconds
DAY = 1440 * MINUTE
FIRST = 1_767_254_400 * 10**9  # 2026-01-01 08:00: all is made from then on,
SPAN = 300 * DAY  # within this time, however much it is
NOW = 1_793_577_600 * 10**9  # 2026-11-02, a Monday: usage is as of then

# Of each language: names, companies so named, teams, what virtual keys are for.
WORDS = """\
Fernhill|Halcyon|Northwind|Quillmark|Brightwater|Ashdown|Larkfield|Umbra|Tallow
{} Mutual Insurance|{} Freight|{} Publishing|{} Labs|{} & Sons|{} Foods|{} Energy
Claims|Underwriting|Customer Care|Platform|Search|Data Science|Night Shift|Legal
Invoice reader|Contract summaries|Ticket triage|Meeting notes|Code review|Translation
Öhringer|Weißensee|Żółwin|Lévêque|Süderelbe
{} Versicherung AG|Stadtwerke {}|Éditions {}|Wydawnictwo {}|{} Spedition GmbH & Co. KG
Schadenprüfung|Trésorerie|Obsługa klienta|Künstliche Intelligenz|Développement
Rechnungsprüfung|Résumé des dépêches|Przegląd umów|Übersetzung der Verträge
Северный ветер|Берёзка|Заря|Черноморье
Издательство «{}»|Страховая компания «{}»|Завод «{}»|Торговый дом «{}»
Бухгалтерия|Отдел продаж|Служба поддержки|Исследования
Разбор обращений|Проверка счетов|Краткие пересказы|Перевод
الواحة|النخيل|البحر الأحمر|الياسمين
شركة {} للتأمين|دار {} للنشر|{} للشحن
خدمة العملاء|المحاسبة|البحث والتطوير|المبيعات
تلخيص العقود|فرز الرسائل|ترجمة الوثائق
हिमालय|सरस्वती|नीलगिरि|गंगोत्री
{} बीमा|{} प्रकाशन|{} परिवहन
ग्राहक सेवा|लेखा विभाग|अनुसंधान|विपणन
अनुबंध सारांश|बिल जाँच|अनुवाद
水原|桜庭|北斗|富士見|若葉
{}食品株式会社|{}出版|{}海上保険|株式会社{}物流
経理部|お客様相談室|研究開発|営業第一課|分析チーム
請求書の読み取り|議事録の要約|問い合わせの分類
云峰|长河|金桥|青松
{}保险有限公司|{}出版社|{}物流集团
客户服务|财务部|数据分析|研发中心
合同摘要|发票识别|工单分类
한빛|푸른솔|새벽|다온
{}보험|{}출판사|주식회사 {}물류
고객지원|회계팀|연구개발|데이터분석
계약서 요약|문의 분류|회의록 정리
"""
Language = namedtuple("Language", "names companies teams tasks")
_LISTS = [tuple(line.split("|")) for line in WORDS.splitlines()]
LANGUAGES = tuple(Language(*_LISTS[at : at + 4]) for at in range(0, len(_LISTS), 4))
ENGLISH = LANGUAGES[0]
STAGES = ("production", "staging", "ci", "notebook")
PEOPLE = ("Imogen Hale", "Ngozi Obi", "Jürgen Öttinger", "佐藤 陽子", "Анна Рыбина")

PROVIDERS = {
    "openai": ("gpt-5", "gpt-5-mini", "text-embedding-3-small"),
    "anthropic": ("claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5"),
    "azure": ("gpt-5", "gpt-5-mini"),
    "vertex": ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
    "bedrock": ("amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0"),
    "mistral": ("mistral-large-latest", "codestral-latest"),
}
MCP_CLIENTS = {
    "helpdesk": ("http", "https://tickets.example.com/mcp", ("find_case", "add_note")),
    "crm": ("sse", "env.CRM_MCP_URL", ("lookup_account", "list_contracts")),
    "notebook": ("stdio", None, ("read_page", "run_cell")),
    "archive": ("http", "https://archive.example.com/mcp", ("search", "fetch")),
    "calendar": ("http", "env.CALENDAR_MCP_URL", ("list_events", "add_event")),
}
# How long a budget counts, and when a calendar-aligned one was last reset.
PERIODS = {
    "1d": (DAY, NOW),
    "1w": (7 * DAY, NOW),
    "1M": (30 * DAY, NOW - DAY),
    "1Y": (365 * DAY, NOW - 305 * DAY),
}
RATE_PERIODS = {"1m": MINUTE, "1h": 60 * MINUTE, "1d": DAY}
RATE_LIMITS = {"token": (50_000, 400_000, 2_500_000), "request": (60, 1500, 20_000)}
AMOUNTS = (5.0, 20.0, 49.5, 100.0, 250.0, 1000.0)

# What is dealt like cards: all of them, before one comes again.
SPOKEN = (ENGLISH,) * 4 + LANGUAGES
TEAM_PLACES = ("main",) * 2 + ("other",) * 6 + ("empty", "nobody")
KEY_PLACES = ("main team",) * 11 + ("other team",) * 6 + ("main", "other", "nobody")
RARELY = (1,) + (0,) * 19
USAGES = ((0, 0), (0, 0.2), (0.1, 0.5), (0.3, 0.8), (0.9, 1), (1, 1.4))
HALVES = (("token", "request"), ("token",), ("request",), (), (), ())
WEIGHTS = (None, 1.0, 1.0, 0.75, 0.5, 0.0)
DESCRIPTIONS = (None, None, None, 'Nightly "batch" <jobs> & co', "für Analyse 分析 🔑")
CONFIGS = (None, '{"alerts":{"at":[0.5,0.9]}}', '{"notify":{"channel":"#支出"}}')
CLAIMS = (None, None, '{"groups":["eng"]}', '{"department":"claims","roles":["lead"]}')


class Draws:
    """A seed's choices, made of random(), getrandbits() and exact arithmetic alone:
    how random.Random chooses and shuffles may change from one Python to the next.
    """

    def __init__(self, seed: int) -> None:
        source = random.Random(seed)  # noqa: S311 - the same again is what is wanted
        self.share = source.random
        self.bits = source.getrandbits
        self._hands: dict[tuple[Any, ...], list[Any]] = {}

    def below(self, bound: int) -> int:
        return int(self.share() * bound)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def pick_early(self, items: Sequence[T]) -> T:
        """Return one of the items, the first ones far more often than the last."""
        share = self.share()
        return items[int(share * share * len(items))]

    def some(self, items: Iterable[T], count: int) -> list[T]:
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]

    def deal(self, cards: tuple[T, ...]) -> T:
        """Return one of the cards; all of them come before one comes again."""
        hand = self._hands.setdefault(cards, [])
        if not hand:
            hand += cards
        card: T = hand.pop(self.below(len(hand)))
        return card

    def usage(self, limit: float) -> float:
        """Return the used part of a limit: nothing, some, nearly all, too much."""
        low, high = self.deal(USAGES)
        return limit * (low + (high - low) * self.share())

    def uuid(self) -> str:
        return str(UUID(int=self.bits(128), version=4))

    def digest(self) -> str:
        return f"{self.bits(256):064x}"
