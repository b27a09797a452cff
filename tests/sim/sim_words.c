#include "tests/sim/sim_words.h"

#include "server/core/attr.h"
#include "server/core/str.h"

static const char *const STOCK[] = {
    "2333",     "23333333", "666",          "6",          "草",           "？",
    "？？？",   "awsl",     "好家伙",       "泪目",       "绷不住了",     "笑死",
    "晚上好",   "来了来了", "第一",         "打卡",       "前排",         "冲冲冲",
    "好耶",     "可爱",     "好听",         "太强了",     "辛苦了",       "加油",
    "牛逼",     "主播好",   "欢迎",         "贴贴",       "喂喂喂",       "寄",
    "下次一定", "真的假的", "确实",         "有一说一",   "说得对",       "没毛病",
    "可以可以", "不愧是你", "我直接好家伙", "典",         "难绷",         "芜湖",
    "起飞",     "危",       "快跑",         "稳了",       "完了完了",     "救命",
    "上车",     "关注了",   "已三连",       "下播了吗",   "几点下播",     "声音小了",
    "卡了",     "没卡",     "有回放吗",     "这是什么歌", "今天播到几点", "谢谢老板",
    "老板大气", "舰长来了", "晚安",         "早上好",     "中午好",       "吃了吗",
    "好困",     "摸鱼中",   "上班偷偷看",   "hhhh",       "hhh",          "www",
    "kksk",     "yyds",     "gkd",          "xswl",       "orz",          "1",
    "111",      "好",       "嗯嗯",         "啊这",       "哦吼",         "哇",
    "嘿嘿",     "呜呜",     "笑嘻了",       "舒服了",     "麻了",         "裂开",
    "破防了",
};
static const char *const LAUGH[] = {"哈", "2", "h", "笑", "啊", "嘿", "w", "草", "！", "6", "呜"};
static const char *const WHO[] = {"主播",   "你",     "我",   "这个", "他",
                                  "那个人", "我朋友", "对面", "队友", "老板",
                                  "阿婆主", "弹幕",   "大家", "隔壁", "管理"};
static const char *const HOW[] = {"真的", "又",   "怎么", "已经", "居然", "还是",
                                  "终于", "就",   "果然", "今天", "刚刚", "每次都",
                                  "一直", "可能", "差点", "应该", "到底"};
static const char *const DOES[] = {
    "在唱歌",     "开始了",       "没睡",       "这么厉害", "掉线了",   "吃夜宵",     "迟到了",
    "赢了",       "输麻了",       "练习这首歌", "买了新麦", "看不懂",   "打不过这关", "被抓住了",
    "加班到现在", "想听那首老歌", "不会玩",     "走错路了", "换衣服了", "忘记存档",   "抽到五星了",
    "拿下冠军",   "讲鬼故事",     "嗓子哑了",   "笑出声",   "准备下播", "说过不熬夜", "养了一只猫",
};
static const char *const TAIL[] = {"",   "",   "",   "",   "吗", "吧", "啊",
                                   "了", "呢", "！", "？", "……", "~",  "哈哈哈"};
static const char *const ASK[] = {"点歌：",         "想问一下，", "谢谢主播，", "祝",
                                  "第一次来，",     "留个言，",   "支持一下，", "生日快乐！",
                                  "今天上班好累，", "考试过了！"};
static const char *const WISH[] = {
    "希望越来越好",       "听着直播写完了作业", "每天都在这里下饭",     "请唱一首《夜空》",
    "下个月还来",         "陪伴了整整一年",     "能不能读一下我的名字", "新皮肤好好看",
    "身体健康，早点休息", "什么时候开生日会",   "这次通关给大家看看吧", "从回放追过来的",
};
static const char *const ODD[] = {
    "他说\"不会吧\"",
    "a\\b\\c 是路径吗",
    "<b>加粗</b> & 转义",
    "ヽ(✿ﾟ▽ﾟ)ノ",
    "(╯°□°）╯︵ ┻━┻",
    "🐶🐶🐶",
    "🎉恭喜🎉",
    "👍👍",
    "晚上好～(∠・ω< )⌒★",
    "Hello from Osaka",
    "今日もかわいい",
    "100%",
    "'单引号'",
    "http://例子.测试/?a=1&b=2",
    "👨‍👩‍👧‍👦一家人都在看",
    "tab\there",
    "Ａｌｌ ＦＵＬＬ",
    "Привет",
    "\xc2\xa0空格",
    "𠮷野家",
};
static const struct sim_emot EMOTS[] = {
    {"[dog]", 208},  {"[花]", 209},   {"[妙]", 210},   {"[哇]", 211},
    {"[爱]", 212},   {"[撇嘴]", 214}, {"[委屈]", 215}, {"[热]", 218},
    {"[吃瓜]", 222}, {"[笑哭]", 227}, {"[比心]", 236}, {"[打call]", 240},
};
static const struct sim_sticker STICKERS[] = {
    {"赞", "official_147", 150, 0},
    {"哈哈", "official_124", 150, 0},
    {"有点东西", "official_103", 150, 0},
    {"妙啊", "official_120", 150, 0},
    {"打call", "room_71409", 162, 1},
    {"流汗", "room_15046", 162, 0},
    {"[舰长_挥手]", "upower_[舰长_挥手]", 20, 0},
};
static const struct sim_gift GIFTS[] = {
    {31036, "小花花", 100, 300, 0, 0, 0, NULL},
    {30607, "小心心", 0, 160, 1, 0, 0, NULL},
    {31738, "粉丝团灯牌", 1000, 60, 1, 0, 0, NULL},
    {33987, "人气票", 0, 120, 1, 0, 0, NULL},
    {31039, "牛哇牛哇", 100, 120, 0, 0, 0, NULL},
    {30046, "打榜", 2000, 20, 0, 0, 0, NULL},
    {31037, "打call", 500, 50, 0, 0, 0, NULL},
    {31531, "PK票", 100, 60, 0, 0, 0, NULL},
    {31817, "泡泡糖", 1100, 15, 0, 0, 0, NULL},
    {20010, "告白花束", 220000, 2, 0, 0, 0, NULL},
    {30063, "小电视飞船", 1245000, 1, 0, 0, 0, NULL},
    {32609, "爱心抱枕", 16000, 25, 0, 15000, 32251, "心动盲盒"},
    {32125, "电影票", 2000, 30, 0, 15000, 32251, "心动盲盒"},
    {32698, "浪漫城堡", 2233000, 1, 0, 15000, 32251, "心动盲盒"},
    {35311, "好运柚叶", 2500, 25, 0, 5000, 35206, "幸运盲盒"},
};
static const struct sim_area AREAS[] = {
    {371, 9, "虚拟日常", "虚拟主播"}, {86, 2, "英雄联盟", "网游"}, {35, 3, "王者荣耀", "手游"},
    {216, 6, "我的世界", "单机游戏"}, {21, 1, "视频唱见", "娱乐"}, {190, 5, "唱见电台", "电台"},
    {27, 10, "学习", "生活"},         {375, 11, "科技", "知识"},   {561, 13, "游戏赛事", "赛事"},
    {530, 1, "萌宅领域", "娱乐"},
};
static const char *const MEDALS[] = {"小宇宙", "摸鱼酱", "星尘", "喵喵",   "团子", "晚风",
                                     "柚子",   "蓝鲸",   "糖糖", "夜猫子", "海盐", "木鱼",
                                     "豆包酱", "小火苗", "月亮", "ASAKI"};
static const char *const NAME_A[] = {"爱吃", "不想", "夜里", "隔壁", "今天", "一只", "快乐",
                                     "沉默", "发呆", "迷路", "正在", "努力", "失眠", "路过",
                                     "深海", "北方", "小小", "大",   "老",   "阿"};
static const char *const NAME_B[] = {"火锅", "上班",   "散步", "猫",   "柠檬", "企鹅", "西瓜",
                                     "月亮", "程序员", "土豆", "鲸鱼", "豆腐", "咸鱼", "奶茶",
                                     "螃蟹", "云",     "风",   "石头", "兔子", "番茄"};
static const char *const NAME_C[] = {"的人", "酱",        "君",   "同学", "本人",
                                     "er",   "_official", "先生", "-",    "丶"};
static const char *const NAME_LATIN[] = {"Kira", "moon", "bili", "Neko", "Sora",
                                         "QvQ",  "lynn", "ZERO", "hana", "Rui"};
static const char *const TITLES[] = {"晚上好呀",       "随便播播",     "唱歌到十二点", "今天必通关",
                                     "复盘昨天的比赛", "和大家聊聊天", "新衣服首播",   "写作业陪伴",
                                     "深夜电台",       "抽卡祈愿"};

#define PICK(rng, list) ((list)[rng_below((rng), ARRAY_LEN(list))])

static void put(struct buf *out, const char *s)
{
    buf_put(out, str_of(s));
}

static void sentence(struct rng *rng, struct buf *out)
{
    if (rng_below(rng, 4) > 0) {
        put(out, PICK(rng, WHO));
    }
    if (rng_below(rng, 3) > 0) {
        put(out, PICK(rng, HOW));
    }
    put(out, PICK(rng, DOES));
    put(out, PICK(rng, TAIL));
}

void sim_words_chat(struct rng *rng, struct buf *out)
{
    uint64_t d = rng_below(rng, 1000);

    if (d < 330) {
        put(out, PICK(rng, STOCK));
    } else if (d < 480) {
        const char *c = PICK(rng, LAUGH);

        for (int64_t n = rng_between(rng, 2, 9); n > 0; n--) {
            put(out, c);
        }
    } else if (d < 930) {
        sentence(rng, out);
        if (rng_below(rng, 6) == 0) {
            put(out, "，");
            sentence(rng, out);
        }
    } else if (d < 945) {
        put(out, PICK(rng, ODD));
    } else if (d < 965) {
        put(out, "@");
        sim_words_name(rng_u64(rng), out);
        put(out, " ");
        put(out, PICK(rng, STOCK));
    } else {
        put(out, PICK(rng, STOCK));
    }
    if (rng_below(rng, 12) == 0) {
        const char *emot = EMOTS[rng_below(rng, ARRAY_LEN(EMOTS))].name;

        for (int64_t n = rng_between(rng, 1, 3); n > 0; n--) {
            put(out, emot);
        }
    }
}

void sim_words_superchat(struct rng *rng, struct buf *out)
{
    put(out, PICK(rng, ASK));
    for (int64_t n = rng_between(rng, 1, 3); n > 0; n--) {
        put(out, PICK(rng, WISH));
        put(out, n > 1 ? "，" : "");
    }
    if (rng_below(rng, 8) == 0) {
        put(out, PICK(rng, ODD));
    }
}

void sim_words_title(struct rng *rng, struct buf *out)
{
    put(out, "【");
    put(out, AREAS[rng_below(rng, ARRAY_LEN(AREAS))].name);
    put(out, "】");
    put(out, PICK(rng, TITLES));
}

/* Bits of the hash instead of a generator: the same viewer is always called the same. */
void sim_words_name(uint64_t hash, struct buf *out)
{
    unsigned form = hash & 15;
    uint64_t a = hash >> 4 & 0xffff;
    uint64_t b = hash >> 20 & 0xffff;
    uint64_t c = hash >> 36 & 0xfff;
    unsigned digits = (unsigned)(hash >> 48) % 10000;

    if (form == 0) {
        buf_printf(out, "bili_%u%06u", digits, (unsigned)(a * 15 % 1000000));
        return;
    }
    if (form < 4) {
        put(out, NAME_LATIN[a % ARRAY_LEN(NAME_LATIN)]);
        buf_printf(out, form == 1 ? "_%u" : "%u", digits);
        return;
    }
    put(out, NAME_A[a % ARRAY_LEN(NAME_A)]);
    put(out, NAME_B[b % ARRAY_LEN(NAME_B)]);
    if (form < 9) {
        put(out, NAME_C[c % ARRAY_LEN(NAME_C)]);
    }
    if (form == 5 || form == 12) {
        buf_printf(out, "%u", digits);
    }
}

const char *sim_words_medal(uint64_t hash)
{
    return MEDALS[hash % ARRAY_LEN(MEDALS)];
}

const struct sim_emot *sim_words_emots(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(EMOTS);
    return EMOTS;
}

const struct sim_sticker *sim_words_stickers(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(STICKERS);
    return STICKERS;
}

const struct sim_gift *sim_words_gifts(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(GIFTS);
    return GIFTS;
}

const struct sim_area *sim_words_areas(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(AREAS);
    return AREAS;
}
